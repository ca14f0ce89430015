// SPDX-License-Identifier: Apache-2.0
// Between the products of the head of more than 128 features.
//
//   fold_maps      a block of 512 threads takes 64 features of a class: averages its samples, 32 at a time (class_block.cuh), then folds them into the mean.
//                  bytes: x once, features and terms written once
//   take_softmax   a block takes a class, a warp a sample, three times over its logits; then a thread adds up the gradients of a class j
//   spread         a thread a packet of a sample's features, down the pixels
#include "kernels/isda/head_statistics.cuh"

#include <limits>

#include "kernels/isda/class_block.cuh"
#include "kernels/isda/sample_softmax.cuh"

namespace isda::kernels {

namespace {

using namespace class_block;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// ---- features, means and terms ----

constexpr int kColumns = 64;  // features of a block
using Lines = Threads<kColumns>;

struct FoldMaps {
  Membership members;
  int N, C, A, pixels;
  const std::int32_t* labels;
  float* features;        // (N,A)
  float *count, *mean;    // (C), (C,A)
  float* variance;        // (C,A), the diagonal covariance, or null
  CovarianceTerms terms;  // where it is null
};

// Blocks: slots, and one for the samples of no class, by 64 features.
template <int width, class T>
__global__ void __launch_bounds__(kThreads) fold_maps_kernel(const __grid_constant__ FoldMaps op, const T* x) {
  SIMT_SHARED(features, float[Lines::kChunk][kColumns]);
  SIMT_SHARED(among, float[Lines::kLines][kColumns]);
  SIMT_SHARED(samples, int[Lines::kChunk]);
  const int thread = static_cast<int>(threadIdx.x), slot = static_cast<int>(blockIdx.x), present = *op.members.present;
  const Columns columns{.A = op.A, .first = static_cast<int>(blockIdx.y) * kColumns};
  const int column = columns.own<kColumns>(), left = op.A - column;
  if (slot == op.members.most) {
    const float nothing[4] = {kNaN, kNaN, kNaN, kNaN};
    for (int i = Lines::line(); i < op.N; i += Lines::kLines) {
      const bool is_of_class = op.labels[i] >= 0 && op.labels[i] < op.C;
      tile::store_four<width>(op.features + std::int64_t{i} * op.A + column, is_of_class ? 0 : left, nothing);
    }
    return;
  }
  if (slot >= present) return;
  const int c = op.members.classes[slot], m = op.members.count(slot), chunks = (m + Lines::kChunk - 1) / Lines::kChunk;
  const int* list = op.members.samples + op.members.begin[slot];

  // Average the samples, and add them up: thread a of the block the feature a of its columns.
  const int a = columns.first + thread;
  const bool is_feature = thread < kColumns && a < op.A;
  float nu = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int count = smaller(Lines::kChunk, m - chunk * Lines::kChunk);
    if (thread < count) samples[thread] = list[chunk * Lines::kChunk + thread];
    __syncthreads();
    average_pixels<kColumns, width>(x, columns, op.pixels, samples, count, &among[0][0], &features[0][0]);
    __syncthreads();
    for (int k = Lines::line(); k < count; k += Lines::kLines) {
      float values[4];
      load_packed(&features[k][Lines::column()], values);
      tile::store_four<width>(op.features + std::int64_t{samples[k]} * op.A + column, left, values);
    }
    for (int k = 0; k < count && is_feature; ++k) nu += features[k][thread];
    __syncthreads();
  }
  if (!is_feature) return;
  nu /= static_cast<float>(m);

  // Fold them into the mean, and leave the terms or add their squares.
  const float n = op.count[c], samples_of_class = static_cast<float>(m), total = n + samples_of_class, w = samples_of_class / total, keep = n / total;
  const float of_sample = sqrtf(1 / total);
  float& mean = op.mean[std::int64_t{c} * op.A + a];
  const float shift = mean - nu, last = sqrtf(w * keep) * shift;
  mean -= w * shift;
  // NOTE: of several chunks all but the last lie in memory only.
  const auto term = [&](int k) { return of_sample * ((chunks == 1 ? features[k][thread] : op.features[std::int64_t{list[k]} * op.A + a]) - nu); };
  if (op.variance) {
    float& variance = op.variance[std::int64_t{c} * op.A + a];
    float sum = keep * variance;
    for (int k = 0; k < m; ++k) sum += term(k) * term(k);
    variance = sum + last * last;
  } else {
    float* z = op.terms.rows + op.terms.begin_terms(op.members, slot, op.C, keep, a == 0) * op.A + a;
    for (int k = 0; k < m; ++k) z[std::int64_t{k} * op.A] = term(k);
    z[std::int64_t{m} * op.A] = last;
  }
}

// ---- softmax ----

constexpr int kSoftmaxThreads = 256, kSoftmaxWarps = kSoftmaxThreads / kWarp;

// Blocks: the classes, and one for the samples of none.
__global__ void __launch_bounds__(kSoftmaxThreads) softmax_kernel(const __grid_constant__ ClassSoftmax op) {
  SIMT_SHARED(losses, float[kSoftmaxWarps]);
  SIMT_SHARED(hits, int[kSoftmaxWarps]);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, c = static_cast<int>(blockIdx.x), C = op.C;
  if (c == C) {
    for (int i = 0; i < op.N; ++i) {
      if (op.labels[i] >= 0 && op.labels[i] < C) continue;
      for (int j = thread; j < C; j += kSoftmaxThreads) op.logits[std::int64_t{i} * C + j] = kNaN;
    }
    return;
  }
  const int slot = op.slots[c];
  if (slot < 0) {
    if (thread == 0) op.records[c] = {.samples = 0, .slot = 0, .loss = 0, .hits = 0};
    return;
  }
  // The correction of this class's logits, in the place of its first part.
  const float ratio = *op.ratio;
  float* correction = op.table.q + std::int64_t{slot} * op.table.parts * C;
  for (int j = thread; j < C; j += kSoftmaxThreads) {
    float sum = correction[j];
    for (int part = 1; part < op.table.parts; ++part) sum += correction[std::int64_t{part} * C + j];
    correction[j] = ratio != 0 ? ratio / 2 * sum : 0.0f;
  }
  __syncthreads();
  // Its samples.
  const int m = op.members.count(slot);
  const int* samples = op.members.samples + op.members.begin[slot];
  float loss = 0;
  int hit = 0;
  for (int k = warp; k < m; k += kSoftmaxWarps) {
    const Outcome outcome = take_sample(op.logits + std::int64_t{samples[k]} * C, correction, c, C, 1 / static_cast<float>(op.N));
    loss += outcome.loss;
    hit += outcome.misses == 0 ? 1 : 0;
  }
  if (thread % kWarp == 0) {
    losses[warp] = loss;
    hits[warp] = hit;
  }
  __syncthreads();
  // The sums of their gradients.
  for (int j = thread; j < C; j += kSoftmaxThreads) {
    float sum = 0;
#pragma unroll 4
    for (int k = 0; k < m; ++k) sum += op.logits[std::int64_t{samples[k]} * C + j];
    op.gc[std::int64_t{slot} * C + j] = sum;
    op.g[std::int64_t{slot} * C + j] = ratio * sum;
  }
  if (thread != 0) return;
  ClassRecord record{.samples = m, .slot = slot, .loss = 0, .hits = 0};
  for (int other = 0; other < kSoftmaxWarps; ++other) {
    record.loss += losses[other];
    record.hits += hits[other];
  }
  op.records[c] = record;
  if (op.count) op.count[c] += static_cast<float>(m);
}

// ---- gradients of the maps ----

template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) spread_kernel(ChannelGrid grid, const float* dfeatures, T* dx) {
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  const float share = 1 / static_cast<float>(grid.rows);
  float values[width];
  load_channels(dfeatures + place.image * grid.channels + place.channel, values);
#pragma unroll
  for (float& value : values) value *= share;
  const Packed<T, width> packet = pack<T>(values);
  for_row_batches<kRowBatch<T, width>>(grid, place, [&](std::int64_t offset, auto count) {
#pragma unroll
    for (int row = 0; row < kRowBatch<T, width>; ++row) {
      if (row < count) store_whole(reinterpret_cast<Packed<T, width>*>(dx + offset + row * row_step(grid)), packet);
    }
  });
}

}  // namespace

void fold_maps(const Context& context, const MapsOfBatch& op) {
  const ConstView x = as_maps(op.x);
  const std::int64_t N = x.extent(0), A = x.extent(3);
  const Membership& members = op.members;
  const FoldMaps fold{.members = members,
                      .N = static_cast<int>(N),
                      .C = static_cast<int>(op.count.extent(0)),
                      .A = static_cast<int>(A),
                      .pixels = static_cast<int>(x.extent(1) * x.extent(2)),
                      .labels = op.labels.as<std::int32_t>(),
                      .features = op.features,
                      .count = op.count.as<float>(),
                      .mean = op.mean.as<float>(),
                      .variance = op.variance.as<float>(),
                      .terms = op.terms};
  dispatch_cuda("isda_head", x.type(), [&, A = A]<class T>() {
    dispatch_width<float>(A, are_aligned({op.x}), [&]<int width>() {
      launch(context, {.name = "isda_fold_maps", .grid = dim3(static_cast<unsigned>(members.most) + 1, blocks_for(A, kColumns)), .block = kThreads},
             fold_maps_kernel<width, T>, fold, elements<T>(x));
    });
  });
}

void take_softmax(const Context& context, const ClassSoftmax& op) {
  launch(context, LaunchShape{.name = "isda_softmax", .grid = static_cast<unsigned>(op.C) + 1, .block = kSoftmaxThreads}, softmax_kernel, op);
}

void spread(const Context& context, const float* dfeatures, const View& dx) {
  const View maps = as_maps(dx);
  const auto [N, H, W, A] = maps.extents<4>();
  dispatch_cuda("isda_head", dx.type(), [&, N = N, pixels = H * W, A = A]<class T>() {
    dispatch_width<T>(A, are_aligned({dx}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(N, pixels, A, width, kRowBatch<T, width>);
      launch(context, {.name = "isda_spread", .grid = grid.extents(), .block = ChannelGrid::kThreads}, spread_kernel<width, T>, grid, dfeatures,
             elements<T>(dx));
    });
  });
}

}  // namespace isda::kernels
