// SPDX-License-Identifier: Apache-2.0
// IsdaHead for up to 128 features and full covariances: a block of 512 threads owns a class, everything of it in shared memory (class_steps.cuh), f32
// throughout.
//
//   find        its samples, by ballot over the labels; an absent class's block leaves
//   average     their features, from the pixels of x; meanwhile S_c, w_c and W are on their way to shared memory
//   merge       mean, count, S_c <- keep S_c + sum_k z_k z_k^T (members.h), and back to memory
//   multiply    U_c = D_c S_c by tiles of 128 classes j, (ratio/2) Q[c,j] = (ratio/2) U_c[j] . D_c[j]; U_c stays, in shared memory where there is room
//   logits      F W^T + b and with Q added; the softmax's sums; G, the hits of the plain logits and the loss
//   gradients   dF = G W and from it dx; what this class adds to dW: G^T F + ratio Gc U_c, and to its own row; to db: Gc
//   Then class_sums.cu adds up dW, db, loss and hits over the classes.
//
//   bytes  x and dx once; S_c of the present classes read and written once; for each present class W once, and what it adds to dW written, and once read
//   FLOP   2 K C A^2 + 2 (N + K) A^2 + 6 N C A + 4 K C A: on CUDA cores, as many as f32 can do
//
// More samples of a class than a chunk: the batch is merged chunk by chunk (Chan et al.), and averaged again for the logits. More classes than a tile: W goes
// by twice more, logits are made twice, U_c lies in memory.
#include "kernels/isda/head_by_class.cuh"

#include <algorithm>
#include <limits>

#include "kernels/isda/class_steps.cuh"

namespace isda::kernels {

namespace {

using namespace class_block;

// Blocks: the classes, and one for the samples whose label is none of them: nobody on the card can refuse it, so that their gradient is NaN.
template <int columns, int width, class T>
__global__ void __launch_bounds__(kThreads) class_head_kernel(const __grid_constant__ ClassHead op, const T* x, T* dx) {
  using Steps = ClassSteps<columns, width>;
  constexpr int kChunk = Steps::kChunk;
  const Shared<columns> shared(op.rows, op.keeps_u);
  const int thread = static_cast<int>(threadIdx.x), c = static_cast<int>(blockIdx.x);
  const bool is_class = c < op.C;

  // Find the samples.
  const auto find = [&](int chunk) {
    const auto is_mine = [&](int label) { return is_class ? label == c : label < 0 || label >= op.C; };
    return find_samples(op.labels, op.N, is_mine, chunk * kChunk, kChunk, shared.counts, shared.samples);
  };
  const int m = find(0), chunks = (m + kChunk - 1) / kChunk;
  const auto samples_of = [=](int chunk) { return smaller(kChunk, m - chunk * kChunk); };
  if (m == 0) {
    if (thread == 0 && is_class) op.records[c] = {.samples = 0, .slot = 0, .loss = 0, .hits = 0};
    return;
  }
  if (!is_class) {
    for (int k = thread; k < kChunk * columns; k += kThreads) shared.features[k] = kNaN;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      if (chunk > 0) find(chunk);
      __syncthreads();
      spread_over_pixels<columns, width>(shared.features, {.A = op.A}, op.pixels, shared.samples, samples_of(chunk), dx);
    }
    return;
  }
  Steps steps{.op = op, .shared = shared, .c = c, .slot = op.C <= op.N ? c : shared.samples[0], .ratio = *op.ratio};
  steps.request_all();

  // Merge the batch into the statistics.
  const auto average = [&](int samples) { average_pixels<columns, width>(x, {.A = op.A}, op.pixels, shared.samples, samples, shared.terms, shared.features); };
  float n = op.count[c], mean = thread < op.A ? op.mean[std::int64_t{c} * op.A + thread] : 0.0f;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (chunk > 0) find(chunk);
    average(samples_of(chunk));
    if (chunk == 0) ptx::cp_async_wait<0>();
    __syncthreads();
    steps.merge(samples_of(chunk), n, mean, chunk == chunks - 1);
    n += static_cast<float>(samples_of(chunk));
  }
  if (thread < op.A) op.mean[std::int64_t{c} * op.A + thread] = mean;
  if (thread == 0) op.count[c] = n;
  __syncthreads();

  // Correct the logits of its samples.
  for (int tile = 0; tile < steps.tiles(); ++tile) {
    steps.hold(tile, false);
    steps.multiply(tile);
  }
  __syncthreads();

  // Their losses and gradients.
  float loss = 0;
  int hits = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int samples = samples_of(chunk);
    if (chunks > 1) {
      find(chunk);
      average(samples);
      __syncthreads();
    }
    for (int tile = 0; tile < steps.tiles(); ++tile) {
      steps.hold(tile, true);
      steps.make_logits(tile, samples);
      __syncthreads();
      steps.fold_softmax(tile, samples);
    }
    __syncthreads();
    // NOTE: back from the last tile, which is still there.
    float dfeatures[4] = {};
    for (int tile = steps.tiles() - 1; tile >= 0; --tile) {
      if (tile != steps.held) {
        steps.hold(tile, true);
        steps.make_logits(tile, samples);
        __syncthreads();
      }
      steps.make_gradients(tile, samples);
      __syncthreads();
      steps.add_dbias(tile, samples, chunk == 0);
      steps.add_dfeatures(tile, samples, dfeatures);
      __syncthreads();
      steps.add_dweight(tile, samples, chunk == 0, chunk == chunks - 1);
    }
    __syncthreads();
    const LinesOfSample<columns> place(samples);
    add_lines<columns>(shared.terms, place.share, dfeatures);
    if (place.part == 0 && place.sample < samples) {
      const float share = 1 / static_cast<float>(op.pixels);
#pragma unroll
      for (float& value : dfeatures) value *= share;
      store_packed(shared.features + place.sample * columns + steps.column(), dfeatures);
    }
    if (thread < samples) {
      const Softmax softmax = shared.softmax[thread];
      shared.losses[thread] = log1pf(softmax.others) - (softmax.own - softmax.top);
    }
    __syncthreads();
    spread_over_pixels<columns, width>(shared.features, {.A = op.A}, op.pixels, shared.samples, samples, dx);
    for (int k = 0; k < samples && thread == 0; ++k) {
      loss += shared.losses[k];
      hits += shared.misses[k] == 0 ? 1 : 0;
    }
  }
  steps.finish_dweight();
  if (thread == 0) op.records[c] = {.samples = m, .slot = steps.slot, .loss = loss, .hits = hits};
}

// How many classes j a block holds at a time, and whether U_c beside them.
struct Plan {
  int rows;
  bool keeps_u;
};
template <int columns>
Plan plan_of(int classes) {
  if (Shared<columns>::bytes(classes, true) <= kMostShared) return {classes, true};
  int most = classes;
  if (Shared<columns>::bytes(classes, false) > kMostShared) {
    most = 1;
    while (Shared<columns>::bytes(most + 1, false) <= kMostShared) ++most;
  }
  // Tiles of the same size.
  return {static_cast<int>(blocks_for(classes, blocks_for(classes, most))), false};
}

template <class Body>
void dispatch_columns(std::int64_t A, Body&& body) {
  if (A <= 32) return body.template operator()<32>();
  if (A <= 64) return body.template operator()<64>();
  body.template operator()<128>();
}

}  // namespace

void head_by_class(const Context& context, const IsdaHead& op) {
  const ConstView x = as_maps(op.x);
  const std::int64_t N = x.extent(0), C = op.weight.extent(0), A = x.extent(3), slots = std::min(N, C);
  const bool is_packed = A % 4 == 0 && are_aligned({op.x, op.weight, op.covariance, op.dx});
  Scratch scratch = context.scratch();
  dispatch_columns(A, [&, A = A]<int columns>() {
    const Plan plan = plan_of<columns>(static_cast<int>(C));
    const bool has_tiles = plan.rows < C;
    const ClassHead head{.N = static_cast<int>(N),
                         .C = static_cast<int>(C),
                         .A = static_cast<int>(A),
                         .pixels = static_cast<int>(x.extent(1) * x.extent(2)),
                         .rows = plan.rows,
                         .keeps_u = plan.keeps_u,
                         .labels = op.labels.as<std::int32_t>(),
                         .weight = op.weight.as<float>(),
                         .bias = op.bias.as<float>(),
                         .ratio = op.ratio.as<float>(),
                         .count = op.count.as<float>(),
                         .mean = op.mean.as<float>(),
                         .covariance = op.covariance.as<float>(),
                         .records = scratch.take<ClassRecord>(C),
                         .dweight = scratch.take<float>(slots * C * columns),
                         .dbias = scratch.take<float>(slots * C),
                         .u = !plan.keeps_u ? scratch.take<float>(slots * C * columns) : nullptr,
                         .correction = has_tiles ? scratch.take<float>(slots * C) : nullptr};
    const LaunchShape shape{
        .name = op.name, .grid = static_cast<unsigned>(C) + 1, .block = kThreads, .shared_bytes = Shared<columns>::bytes(plan.rows, plan.keeps_u)};
    dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
      launch(context, shape, is_packed ? class_head_kernel<columns, 4, T> : class_head_kernel<columns, 1, T>, head, elements<T>(op.x), elements<T>(op.dx));
    });
    add_classes(context, {.N = head.N,
                          .C = head.C,
                          .A = head.A,
                          .columns = columns,
                          .records = head.records,
                          .dweight_of_slots = head.dweight,
                          .dbias_of_slots = head.dbias,
                          .dweight = op.dweight.as<float>(),
                          .dbias = op.dbias.as<float>(),
                          .loss = op.loss.as<float>(),
                          .correct = op.correct.as<std::int32_t>()});
  });
}

}  // namespace isda::kernels
