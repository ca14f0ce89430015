// SPDX-License-Identifier: Apache-2.0
// One unit of the gradient of the weights. Its story, block after block of dy:
//   1. Copy the input that the block sees into a window, f(x) applied, zeros around it.
//   2. direct:    copy dy to [quad of outputs][pixel][4], its own prologue applied.
//      Winograd:  copy dy to a window too, then transform both: B' d B of x and A dY A' of dy, [point][tile][channel].
//   3. For every row (tap row or point) and every 3 vectors of its run: add the block to the sums of all outputs. What the kernel
//      sweeps of x and dy meanwhile stays in L1.
#include <algorithm>

#include "kernels/conv2d/weight_gradient.h"
#include "kernels/conv2d/winograd.h"

namespace isda::kernels::conv2d {

namespace {

// A block of dy.
struct Block {
  Span images, rows, columns;
  std::int64_t pixels() const { return images.extent() * rows.extent() * columns.extent(); }
  std::int64_t tile_rows() const { return (rows.extent() + 1) / 2; }
  std::int64_t tile_columns() const { return (columns.extent() + 1) / 2; }
};

class Worker {
 public:
  Worker(const WeightPlan& plan, const Source& x, const Source& dy, std::int64_t group, std::int64_t slice, const WeightMemory& memory)
      : plan_(plan),
        x_(x),
        dy_(dy),
        kernels_(microkernels()),
        group_(group),
        first_quad_(slice * plan.slice_quads),
        quads_(std::min(plan.slice_quads, plan.quads - first_quad_)),
        x_window_(memory.floats),
        dy_packed_(x_window_ + plan.block_images * plan.x_floats() + WeightPlan::kGap),
        x_points_(dy_packed_ + plan.block_images * plan.dy_floats()),
        dy_points_(x_points_ + kWinogradPoints * plan.x_point_step()),
        row_offsets_(memory.row_offsets) {
    // NOTE: the last vector of a run may read past the last pixel of the window; what it multiplies there is never read.
    std::fill_n(dy_packed_ - WeightPlan::kGap, WeightPlan::kGap, 0.0f);
  }

  void block(const Block& block, float* sums, bool is_continued) {
    AccumulateWeights job = {};
    job.row_offsets = row_offsets_;
    job.quads = static_cast<int>(quads_);
    job.is_continued = is_continued;
    if (plan_.is_winograd)
      transform(block, job);
    else
      pack(block, job);
    look_ahead(block, job);
    for (std::int64_t row = 0; row < plan_.rows; ++row) {
      const float* x = plan_.is_winograd ? x_points_ + row * plan_.x_point_step() : x_window_ + row * plan_.x_pitch();
      job.dy = plan_.is_winograd ? dy_points_ + row * plan_.dy_point_step() : dy_packed_;
      for (std::int64_t index = 0; index < plan_.run_tiles; ++index) {
        const RunTile tile = plan_.run_tile(index);
        job.x = x + tile.first * plan_.lanes;
        job.vectors = tile.vectors;
        job.sums = sums + plan_.sums_of(group_, row, tile) + first_quad_ * 4 * tile.vectors * plan_.lanes;
        kernels_.accumulate_weights(job);
        for (Ahead& ahead : job.ahead) {
          if (ahead.from) ahead.from += ahead.lines * quads_ * 16;
        }
      }
    }
  }

 private:
  // The window of x for one image of the block.
  void pack_input(const Block& block, std::int64_t image, float* window) {
    const std::int64_t rows = plan_.is_winograd ? 2 * block.tile_rows() + 2 : (block.rows.extent() - 1) * plan_.stride + plan_.R;
    const std::int64_t columns = plan_.is_winograd ? 2 * block.tile_columns() + 2 : (block.columns.extent() - 1) * plan_.stride + plan_.S;
    const std::int64_t first_row = block.rows.begin * plan_.stride - plan_.padding, first_column = block.columns.begin * plan_.stride - plan_.padding;
    for (std::int64_t row = 0; row < rows; ++row) {
      pack_window_row(kernels_, x_, image, group_, first_row + row, {first_column, first_column + columns}, window + row * plan_.x_pitch(), plan_.x_pitch());
    }
  }

  // dy, channels of the slice, from pixel (image, row, column).
  PackRow load_gradient(std::int64_t image, std::int64_t row, std::int64_t column, std::int64_t pixels) const {
    const std::int64_t channel = group_ * plan_.outputs + first_quad_ * 4;
    const std::int64_t offset = ((image * plan_.P + row) * plan_.Q + column) * dy_.channels + channel;
    PackRow load = dy_.load;
    load.source += offset;
    load.source_step = dy_.channels;
    load.pixels = pixels;
    load.channels = std::min(quads_ * 4, plan_.outputs - first_quad_ * 4);
    if (load.second) {
      load.second += offset;
      load.scale += channel;
      load.second_scale += channel;
      load.shift += channel;
    }
    return load;
  }

  // Direct: x to windows, dy to quads.
  void pack(const Block& block, AccumulateWeights& job) {
    job.rows = static_cast<int>(block.images.extent() * block.rows.extent());
    job.columns = static_cast<int>(block.columns.extent());
    job.x_step = plan_.stride * plan_.channels;
    job.dy_step = 4;
    job.quad_step = block.pixels() * 4;
    std::ptrdiff_t* row_offset = row_offsets_;
    float* quads = dy_packed_;
    for (std::int64_t image = block.images.begin; image < block.images.end; ++image) {
      const std::int64_t window = (image - block.images.begin) * plan_.x_floats();
      pack_input(block, image, x_window_ + window);
      for (std::int64_t row = block.rows.begin; row < block.rows.end; ++row, quads += block.columns.extent() * 4) {
        *row_offset++ = window + (row - block.rows.begin) * plan_.stride * plan_.x_pitch();
        PackRow load = load_gradient(image, row, block.columns.begin, block.columns.extent());
        load.packed = quads;
        load.quad_step = job.quad_step;
        kernels_.pack_quads(load);
      }
    }
  }

  // Winograd: x and dy to points. All tiles of the block are one row of pixels to the kernel.
  void transform(const Block& block, AccumulateWeights& job) {
    const std::int64_t tile_columns = block.tile_columns(), channels = quads_ * 4;
    job.rows = 1;
    job.columns = 0;
    job.x_step = plan_.channels;
    job.dy_step = channels;
    job.quad_step = 4;
    row_offsets_[0] = 0;
    for (std::int64_t image = block.images.begin; image < block.images.end; ++image) {
      pack_input(block, image, x_window_);
      pack_gradient_window(block, image);
      for (std::int64_t row = 0; row < block.tile_rows(); ++row, job.columns += static_cast<int>(tile_columns)) {
        kernels_.winograd_input({.source = x_window_ + 2 * row * plan_.x_pitch(),
                                 .tile_step = 2 * plan_.channels,
                                 .tiles = static_cast<int>(tile_columns),
                                 .pitch = plan_.x_pitch(),
                                 .channels = plan_.channels,
                                 .points = x_points_ + job.columns * plan_.channels,
                                 .point_step = plan_.x_point_step()});
        kernels_.winograd_gradient({.source = dy_packed_ + 2 * row * plan_.dy_pitch(),
                                    .tile_step = 2 * channels,
                                    .tiles = static_cast<int>(tile_columns),
                                    .pitch = plan_.dy_pitch(),
                                    .channels = channels,
                                    .points = dy_points_ + job.columns * channels,
                                    .point_step = plan_.dy_point_step()});
      }
    }
  }

  // dy of one image of the block, with a row and a column of zeros where their number is odd.
  void pack_gradient_window(const Block& block, std::int64_t image) {
    const std::int64_t channels = quads_ * 4, columns = block.columns.extent();
    for (std::int64_t row = 0; row < 2 * block.tile_rows(); ++row) {
      float* packed = dy_packed_ + row * plan_.dy_pitch();
      if (row >= block.rows.extent()) {
        std::fill_n(packed, 2 * block.tile_columns() * channels, 0.0f);
        continue;
      }
      PackRow load = load_gradient(image, block.rows.begin + row, block.columns.begin, columns);
      load.packed = packed;
      kernels_.pack_row(load);
      std::fill_n(packed + columns * channels, (2 * block.tile_columns() - columns) * channels, 0.0f);
    }
  }

  // Whole rows of all channels lie one behind the other in memory, images too: fetch what the next block will make us pack.
  void look_ahead(const Block& block, AccumulateWeights& job) const {
    if (plan_.groups > 1 || plan_.block_columns < plan_.Q) return;
    const std::int64_t steps = plan_.rows * plan_.run_tiles * quads_, dy_rows = block.images.extent() * block.rows.extent();
    const std::int64_t last = block.images.end - 1, x_row = x_.columns * x_.channels, dy_row = dy_.columns * dy_.channels;
    const std::int64_t row = std::clamp<std::int64_t>((block.rows.end - 1) * plan_.stride - plan_.padding + plan_.R, 0, x_.rows);
    const std::int64_t x_from = (last * x_.rows + row) * x_row, x_floats = dy_rows * plan_.stride * x_row;
    const std::int64_t dy_from = (last * dy_.rows + block.rows.end) * dy_row, dy_floats = dy_rows * dy_row;
    if (x_from + x_floats > plan_.images * x_.rows * x_row || dy_from + dy_floats > plan_.images * dy_.rows * dy_row) return;
    const auto lines = [&](std::int64_t floats) { return (floats + 16 * steps - 1) / (16 * steps); };
    job.ahead[0] = {x_.load.source + x_from, lines(x_floats)};
    job.ahead[1] = {dy_.load.source + dy_from, lines(dy_floats)};
    if (dy_.load.second) job.ahead[2] = {dy_.load.second + dy_from, lines(dy_floats)};
  }

  const WeightPlan& plan_;
  const Source& x_;
  const Source& dy_;
  const Microkernels& kernels_;
  const std::int64_t group_, first_quad_, quads_;
  float* const x_window_;
  float* const dy_packed_;  // quads, or a window
  float* const x_points_;
  float* const dy_points_;
  std::ptrdiff_t* const row_offsets_;
};

}  // namespace

void weight_unit(const WeightPlan& plan, const Source& x, const Source& dy, std::int64_t index, float* partials, const WeightMemory& memory) {
  const std::int64_t slice = index % plan.slices, group = index / plan.slices % plan.groups, chunk = index / plan.slices / plan.groups;
  const Span images = plan.chunk(chunk);
  float* sums = partials + chunk * plan.partial_floats;
  Worker worker(plan, x, dy, group, slice, memory);
  bool is_continued = false;
  for (std::int64_t n = images.begin; n < images.end; n += plan.block_images) {
    for (std::int64_t p = 0; p < plan.P; p += plan.block_rows) {
      for (std::int64_t q = 0; q < plan.Q; q += plan.block_columns) {
        worker.block({.images = {n, std::min(n + plan.block_images, images.end)},
                      .rows = {p, std::min(p + plan.block_rows, plan.P)},
                      .columns = {q, std::min(q + plan.block_columns, plan.Q)}},
                     sums, is_continued);
        is_continued = true;
      }
    }
  }
}

}  // namespace isda::kernels::conv2d
