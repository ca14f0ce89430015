// SPDX-License-Identifier: Apache-2.0
// The gradient of the weights on the cpu: dweight[k,r,s,c] = sum over n,p,q of dy[n,p,q,k] * f(x)[n, p*stride+r, q*stride+s, c].
//
// Under one tap row r the columns s and channels c are one contiguous run of the packed input, so for each r this is a product
// of dy (pixels x K) and x (pixels x S*C): the kernel holds 4 outputs x 3 vectors of the run in registers and sweeps the pixels.
//
// The story of one unit of work (a chunk of images, a group, a slice of the outputs):
//   1. Take the next few rows of output, up to 256 pixels, of one image or of several small ones.
//   2. Copy the input they see into a window, f(x) applied, zeros around it; copy dy to [K/4][pixel][4], its own prologue applied.
//   3. For every r and every 3 vectors of the run: the kernel adds these pixels to the sums of all outputs. The window's slice
//      stays in L1, dy is 16 bytes a pixel.
// Each chunk has its own sums [group][r][tile of the run][K/4][4][vectors*lanes]; the chunks, at most 16 and a function of the
// shapes only, are added in order at the end.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/window.h"

namespace isda::kernels {

namespace {

using namespace conv2d;

constexpr std::int64_t kChunks = 16;
constexpr std::int64_t kPartialFloats = std::int64_t{1} << 23;  // 32 MB for the sums of all chunks
constexpr std::int64_t kBlockPixels = 256;
constexpr std::int64_t kWindowFloats = 32 * 1024;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

// A few vectors of the run of one tap row: what the kernel holds in registers.
struct RunTile {
  std::int64_t first;  // vector
  int vectors;         // 1, 2 or 3
};

// How one call is cut into work: a function of the shapes only.
struct Plan {
  Plan(const Conv2dBackwardWeights& op, int lanes_of_machine) : lanes(lanes_of_machine), stride(op.stride), groups(op.groups) {
    const auto [K, rows, columns, Cg] = op.dweight.extents<4>();
    R = rows, S = columns, channels = Cg, outputs = K / groups;
    P = op.dy.extent(1), Q = op.dy.extent(2);
    run_vectors = ceil_div(S * channels, lanes);
    tiles = ceil_div(run_vectors, 3);
    quads = ceil_div(outputs, 4);
    partial_floats = groups * R * run_vectors * lanes * quads * 4;
    const std::int64_t N = op.x.extent(0);
    chunks = std::clamp<std::int64_t>(kPartialFloats / partial_floats, 1, std::min(N, kChunks));
    slice_quads = quads;
    while (chunks * groups * ceil_div(quads, slice_quads) < kChunks && slice_quads > 4) slice_quads = ceil_div(slice_quads, 2);
    slices = ceil_div(quads, slice_quads);

    block_columns = Q, block_rows = P;
    while ((block_rows * block_columns > kBlockPixels || window_floats() > kWindowFloats) && (block_rows > 1 || block_columns > 8)) {
      if (block_rows > 1) block_rows = ceil_div(block_rows, 2);
      else block_columns = ceil_div(block_columns, 2);
    }
    if (block_rows == P && block_columns == Q) {
      block_images = std::max<std::int64_t>(1, std::min(kBlockPixels / (P * Q), kWindowFloats / window_floats()));
      block_images = std::min(block_images, ceil_div(N, chunks));
    }
  }

  std::int64_t pitch() const { return round_up(((block_columns - 1) * stride + S) * channels, 16); }
  std::int64_t window_rows() const { return (block_rows - 1) * stride + R; }
  std::int64_t window_floats() const { return window_rows() * pitch(); }
  RunTile tile(std::int64_t index) const {
    const std::int64_t least = run_vectors / tiles, rest = run_vectors % tiles;
    return {index * least + std::min(index, rest), static_cast<int>(least + (index < rest ? 1 : 0))};
  }
  // The first sum of a tile, within a chunk.
  std::int64_t sums_of(std::int64_t group, std::int64_t r, std::int64_t first_vector) const {
    return ((group * R + r) * run_vectors + first_vector) * lanes * quads * 4;
  }

  int lanes;
  std::int64_t stride, groups;
  std::int64_t R, S, channels, outputs, P, Q;  // channels and outputs of a group
  std::int64_t run_vectors, tiles, quads;
  std::int64_t partial_floats;                 // sums of one chunk
  std::int64_t chunks, slice_quads, slices;
  std::int64_t block_rows, block_columns, block_images = 1;
};

// One thread's work on one unit after another.
class Worker {
 public:
  // memory: memory_floats() for this thread; row_offsets: one for each row of a block.
  Worker(const Conv2dBackwardWeights& op, const Plan& plan, const Source& x, const Source& dy, float* memory, std::ptrdiff_t* row_offsets)
      : images_(op.x.extent(0)), padding_(op.padding), plan_(plan), x_(x), dy_(dy), kernels_(microkernels()), window_(memory), row_offsets_(row_offsets) {
    const std::int64_t window_floats = plan.block_images * plan.window_floats();
    std::fill_n(window_ + window_floats, kSlack, 0.0f);
    quads_ = window_ + window_floats + kSlack;
  }
  static std::int64_t memory_floats(const Plan& plan) {
    return plan.block_images * (plan.window_floats() + plan.slice_quads * 4 * plan.block_rows * plan.block_columns) + kSlack;
  }

  // Adds the images [begin, end) to the sums of the outputs of one slice, which start from zero.
  void unit(Span images, std::int64_t group, std::int64_t slice, float* sums) {
    group_ = group;
    first_quad_ = slice * plan_.slice_quads;
    quad_count_ = std::min(plan_.slice_quads, plan_.quads - first_quad_);
    for_each_tile([&](std::int64_t r, const RunTile& tile) {
      std::fill_n(sums + place(r, tile), quad_count_ * 4 * tile.vectors * plan_.lanes, 0.0f);
    });
    for (std::int64_t n = images.begin; n < images.end; n += plan_.block_images) {
      for (std::int64_t p = 0; p < plan_.P; p += plan_.block_rows) {
        for (std::int64_t q = 0; q < plan_.Q; q += plan_.block_columns) {
          block({n, std::min(n + plan_.block_images, images.end)}, {p, std::min(p + plan_.block_rows, plan_.P)},
                {q, std::min(q + plan_.block_columns, plan_.Q)}, sums);
        }
      }
    }
  }

 private:
  // NOTE: the last vector of a run may read past the last pixel of the window; what it multiplies there is never read.
  static constexpr std::int64_t kSlack = 16;

  template <class Body>
  void for_each_tile(const Body& body) const {
    for (std::int64_t r = 0; r < plan_.R; ++r) {
      for (std::int64_t index = 0; index < plan_.tiles; ++index) body(r, plan_.tile(index));
    }
  }
  std::int64_t place(std::int64_t r, const RunTile& tile) const {
    return plan_.sums_of(group_, r, tile.first) + first_quad_ * 4 * tile.vectors * plan_.lanes;
  }

  void block(Span images, Span rows, Span columns, float* sums) {
    pack(images, rows, columns);
    AccumulateWeights job = {.x = nullptr,
                             .row_offsets = row_offsets_,
                             .rows = static_cast<int>(images.extent() * rows.extent()),
                             .columns = static_cast<int>(columns.extent()),
                             .x_step = plan_.stride * plan_.channels,
                             .dy = quads_,
                             .quads = static_cast<int>(quad_count_),
                             .vectors = 0,
                             .sums = nullptr,
                             .ahead = {}};
    look_ahead(job, images, rows);
    for_each_tile([&](std::int64_t r, const RunTile& tile) {
      job.x = window_ + r * plan_.pitch() + tile.first * plan_.lanes;
      job.vectors = tile.vectors;
      job.sums = sums + place(r, tile);
      kernels_.accumulate_weights(job);
      for (Ahead& ahead : job.ahead) {
        if (ahead.from) ahead.from += ahead.lines * quad_count_ * 16;
      }
    });
  }

  // Whole rows of all channels lie one behind the other in memory, images too: fetch what the next block will make us pack.
  void look_ahead(AccumulateWeights& job, Span images, Span rows) const {
    if (plan_.groups > 1 || plan_.slices > 1 || plan_.block_columns < plan_.Q) return;
    const std::int64_t steps = plan_.R * plan_.tiles * quad_count_;
    const std::int64_t last = images.end - 1, x_row = x_.columns * x_.channels, dy_row = dy_.columns * dy_.channels;
    const std::int64_t row = std::clamp<std::int64_t>((rows.end - 1) * plan_.stride - padding_ + plan_.R, 0, x_.rows);
    const std::int64_t x_from = (last * x_.rows + row) * x_row, x_floats = job.rows * plan_.stride * x_row;
    const std::int64_t dy_from = (last * dy_.rows + rows.end) * dy_row, dy_floats = job.rows * dy_row;
    if (x_from + x_floats > images_ * x_.rows * x_row || dy_from + dy_floats > images_ * dy_.rows * dy_row) return;
    const std::int64_t dy_lines = ceil_div(dy_floats, 16 * steps);
    job.ahead[0] = {x_.load.source + x_from, ceil_div(x_floats, 16 * steps)};
    job.ahead[1] = {dy_.load.source + dy_from, dy_lines};
    if (dy_.load.second) job.ahead[2] = {dy_.load.second + dy_from, dy_lines};
  }

  // The input that the block sees, and dy of the block in quads.
  void pack(Span images, Span rows, Span columns) {
    const std::int64_t window_rows = (rows.extent() - 1) * plan_.stride + plan_.R;
    const Span window_columns = {columns.begin * plan_.stride - padding_, (columns.end - 1) * plan_.stride - padding_ + plan_.S};
    const std::int64_t pixels = images.extent() * rows.extent() * columns.extent();
    std::ptrdiff_t* row_offset = row_offsets_;
    float* quads = quads_;
    float* window = window_;
    for (std::int64_t n = images.begin; n < images.end; ++n) {
      for (std::int64_t row = 0; row < rows.extent(); ++row) {
        *row_offset++ = window - window_ + row * plan_.stride * plan_.pitch();
        pack_gradient(n, rows.begin + row, columns, quads, pixels);
        quads += columns.extent() * 4;
      }
      for (std::int64_t row = 0; row < window_rows; ++row, window += plan_.pitch()) {
        pack_window_row(kernels_, x_, n, group_, rows.begin * plan_.stride - padding_ + row, window_columns, window, plan_.pitch());
      }
    }
  }

  void pack_gradient(std::int64_t n, std::int64_t p, Span columns, float* packed, std::int64_t pixels) {
    const std::int64_t channel = group_ * plan_.outputs + first_quad_ * 4;
    const std::int64_t offset = ((n * plan_.P + p) * plan_.Q + columns.begin) * dy_.channels + channel;
    PackRow load = dy_.load;
    load.source += offset;
    load.source_step = dy_.channels;
    load.pixels = columns.extent();
    load.channels = std::min(quad_count_ * 4, plan_.outputs - first_quad_ * 4);
    load.packed = packed;
    load.quad_step = pixels * 4;
    if (load.second) {
      load.second += offset;
      load.scale += channel;
      load.second_scale += channel;
      load.shift += channel;
    }
    kernels_.pack_quads(load);
  }

  const std::int64_t images_, padding_;
  const Plan& plan_;
  const Source& x_;
  const Source& dy_;
  const Microkernels& kernels_;
  float* const window_;
  float* quads_;
  std::ptrdiff_t* const row_offsets_;
  // The unit at work.
  std::int64_t group_ = 0, first_quad_ = 0, quad_count_ = 0;
};

// dweight = the chunks' sums, added in order.
void merge(const Context& context, const Conv2dBackwardWeights& op, const Plan& plan, const float* partials) {
  const std::int64_t run = plan.S * plan.channels;
  float* dweight = op.dweight.as<float>();
  parallel_for(context, plan.groups * plan.R * plan.tiles, [&](std::int64_t index) {
    const RunTile tile = plan.tile(index % plan.tiles);
    const std::int64_t r = index / plan.tiles % plan.R, group = index / plan.tiles / plan.R;
    const std::int64_t width = tile.vectors * plan.lanes, first = tile.first * plan.lanes, valid = std::min(width, run - first);
    const float* sums = partials + plan.sums_of(group, r, tile.first);
    for (std::int64_t k = 0; k < plan.outputs; ++k, sums += width) {
      float* to = dweight + ((group * plan.outputs + k) * plan.R + r) * run + first;
      std::copy_n(sums, valid, to);
      for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk) {
        const float* from = sums + chunk * plan.partial_floats;
        for (std::int64_t j = 0; j < valid; ++j) to[j] += from[j];
      }
    }
  });
}

}  // namespace

void run(Cpu, const Context& context, const Conv2dBackwardWeights& op) {
  check_cpu(op.name, op.x);
  const Plan plan(op, microkernels().lanes);
  const std::int64_t N = op.x.extent(0);
  Source x = {.rows = op.x.extent(1), .columns = op.x.extent(2), .channels = op.x.extent(3), .groups = op.groups, .load = {}};
  x.load.source = op.x.as<float>();
  x.load.scale = op.prologue.scale.as<float>();
  x.load.shift = op.prologue.shift.as<float>();
  x.load.relu = op.prologue.relu;
  Source dy = {.rows = plan.P, .columns = plan.Q, .channels = op.dy.extent(3), .groups = op.groups, .load = {}};
  dy.load.source = op.dy.as<float>();
  dy.load.second = op.gradient_prologue.y.as<float>();
  dy.load.scale = op.gradient_prologue.scale.as<float>();
  dy.load.second_scale = op.gradient_prologue.y_scale.as<float>();
  dy.load.shift = op.gradient_prologue.shift.as<float>();

  Scratch scratch = context.scratch();
  float* partials = scratch.take<float>(plan.chunks * plan.partial_floats);
  const std::int64_t floats = round_up(Worker::memory_floats(plan), 16), rows = plan.block_images * plan.block_rows;
  float* memory = scratch.take<float>(context.threads() * floats);
  std::ptrdiff_t* row_offsets = scratch.take<std::ptrdiff_t>(context.threads() * rows);
  parallel_for(context, plan.chunks * plan.groups * plan.slices, [&](std::int64_t index, int thread) {
    const std::int64_t slice = index % plan.slices, group = index / plan.slices % plan.groups, chunk = index / plan.slices / plan.groups;
    Worker worker(op, plan, x, dy, memory + thread * floats, row_offsets + thread * rows);
    worker.unit({chunk * N / plan.chunks, (chunk + 1) * N / plan.chunks}, group, slice, partials + chunk * plan.partial_floats);
  });
  merge(context, op, plan, partials);
}

}  // namespace isda::kernels
