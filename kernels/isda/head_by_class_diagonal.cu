// SPDX-License-Identifier: Apache-2.0
// IsdaHead with diagonal covariances: a block of 512 threads owns a class, whatever the width. W is not kept: it goes by twice, from L2.
//
//   find, average, merge   as in head_by_class.cu, 8 samples at a time, 64 or 256 features at a time
//   forward                a warp a class j, along its row of W: the logits of the 8 samples, and Q[c,j] = sum_a (w_j - w_c)^2 s_c
//   softmax                a warp a sample (sample_softmax.cuh); Gc
//   backward               a thread four features, its line every 8th or 32nd class j: dF += G w_j; G^T F + ratio Gc (w_j - w_c) s_c, what this class adds
//                          to dW, and to its own row
//   Then class_sums.cu adds up dW, db, loss and hits over the classes.
//
//   bytes  x and dx once; for each present class W twice, and what it adds to dW written and read once: from L2
//   FLOP   2 N C A + 4 K C A forward, 4 N C A + 7 K C A backward, on CUDA cores
//
// What classes add to dW takes min(N,C) C A floats. Where that is more than 32 MB, which a level-2 cache holds, tiles of many classes at a time are the better
// form (correction.cu, weight_correction.cu): a block a class would stream all of W for itself.
#include <algorithm>

#include "kernels/isda/class_block.cuh"
#include "kernels/isda/head_by_class.cuh"
#include "kernels/isda/sample_softmax.cuh"

namespace isda::kernels {

namespace {

using namespace class_block;

constexpr int kSamples = 8;  // at a time
constexpr std::int64_t kMostOfSlots = std::int64_t{1} << 23;

struct DiagonalHead {
  int N, C, A, pixels;
  const std::int32_t* labels;
  const float *weight, *bias, *ratio;  // bias: or null
  float *count, *mean, *variance;
  ClassRecord* records;  // (C)
  float* dweight;        // (slots,C,row)
  float* dbias;          // (slots,C)

  // A row of features in shared memory and of dweight: whole packets.
  __device__ __forceinline__ int row() const { return (A + 3) / 4 * 4; }
};

struct SharedOfDiagonal {
  float* features;    // (kSamples,row): a chunk; behind A zeros
  float* own;         // (row) w_c
  float* variance;    // (row) s_c
  float* logits;      // (kSamples,C), then their gradients
  float* correction;  // (C) (ratio/2) Q[c,j]
  float* gradients;   // (C) Gc, over the chunks so far
  float* among;       // (threads,4): what lines add up
  float* chunk;       // (kSamples,columns): of the columns at hand
  int* samples;       // (kSamples)
  int* counts;        // (kWarps)
  float* losses;      // (kSamples)
  int* misses;        // (kSamples)

  __device__ __forceinline__ SharedOfDiagonal(int row, int C, int columns) {
    SharedCarver carver;
    features = carver.take<float>(kSamples * row);
    own = carver.take<float>(row);
    variance = carver.take<float>(row);
    logits = carver.take<float>(kSamples * C);
    correction = carver.take<float>(C);
    gradients = carver.take<float>(C);
    among = carver.take<float>(kThreads * 4);
    chunk = carver.take<float>(kSamples * columns);
    samples = carver.take<int>(kSamples);
    counts = carver.take<int>(kWarps);
    losses = carver.take<float>(kSamples);
    misses = carver.take<int>(kSamples);
  }
  static std::size_t bytes(std::int64_t A, std::int64_t C, int columns) {
    const auto piece = [](std::int64_t words) { return static_cast<std::size_t>((words + 3) / 4 * 16); };
    const std::int64_t row = (A + 3) / 4 * 4;
    return piece((kSamples + 2) * row) + piece(kSamples * C) + 2 * piece(C) + piece(kThreads * 4) + piece(std::int64_t{kSamples} * columns) +
           3 * piece(kSamples) + piece(kWarps);
  }
};

// The block of a class that is present.
template <int columns, int width>
struct DiagonalSteps {
  using Lines = Threads<columns>;
  static constexpr int kLines = Lines::kLines;

  const DiagonalHead& op;
  const SharedOfDiagonal& shared;
  int c, slot;
  float ratio;

  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  __device__ const float* weight(int j) const { return op.weight + std::int64_t{j} * op.A; }
  __device__ std::int64_t row_of_slot(int j) const { return std::int64_t{slot} * op.C + j; }

  // The features of a chunk; they are there behind a barrier.
  template <class T>
  __device__ void average(const T* x, int count) const {
    for (int first = 0; first < op.A; first += columns) {
      average_pixels<columns, width>(x, {.A = op.A, .first = first}, op.pixels, shared.samples, count, shared.among, shared.chunk);
      __syncthreads();
      const int column = first + Lines::column();
      for (int k = Lines::line(); k < count && column < op.row(); k += kLines) {
        float values[4];
        load_packed(shared.chunk + k * columns + Lines::column(), values);
        store_packed(shared.features + k * op.row() + column, values);
      }
      __syncthreads();
    }
  }

  __device__ void load_class() const {
    for (int a = thread(); a < op.row(); a += kThreads) {
      shared.own[a] = a < op.A ? weight(c)[a] : 0.0f;
      shared.variance[a] = a < op.A ? op.variance[std::int64_t{c} * op.A + a] : 0.0f;
    }
    for (int j = thread(); j < op.C; j += kThreads) shared.gradients[j] = 0;
  }

  // Folds `count` samples into the mean and the variance of a class that has seen n before; a thread a feature.
  __device__ void merge(int count, float n, bool is_last) const {
    const float samples = static_cast<float>(count), total = n + samples, share = samples / total, keep = n / total, of_sample = sqrtf(1 / total);
    for (int a = thread(); a < op.A; a += kThreads) {
      float& mean = op.mean[std::int64_t{c} * op.A + a];
      float nu = 0;
      for (int k = 0; k < count; ++k) nu += shared.features[k * op.row() + a];
      nu /= samples;
      const float shift = mean - nu, last = sqrtf(share * keep) * shift;
      float sum = keep * shared.variance[a];
      for (int k = 0; k < count; ++k) {
        const float z = of_sample * (shared.features[k * op.row() + a] - nu);
        sum += z * z;
      }
      sum += last * last;
      mean -= share * shift;
      shared.variance[a] = sum;
      if (is_last) op.variance[std::int64_t{c} * op.A + a] = sum;
    }
  }

  // The plain logits of the chunk, and with the first of them the correction; a warp a class j.
  __device__ void make_logits(int samples, bool has_correction) const {
    for (int j = this_warp(); j < op.C; j += kWarps) {
      float q = 0, z[kSamples] = {};
#pragma unroll 2
      for (int a = 4 * this_lane(); a < op.A; a += 4 * kWarp) {
        float w[4], own[4], s[4];
        tile::load_four<width>(weight(j) + a, op.A - a, w);
        load_packed(shared.own + a, own);
        load_packed(shared.variance + a, s);
#pragma unroll
        for (int i = 0; i < 4; ++i) q += (w[i] - own[i]) * (w[i] - own[i]) * s[i];
#pragma unroll
        for (int k = 0; k < kSamples; ++k) {
          if (k >= samples) continue;
          float f[4];
          load_packed(shared.features + k * op.row() + a, f);
#pragma unroll
          for (int i = 0; i < 4; ++i) z[k] += w[i] * f[i];
        }
      }
      const float bias = op.bias ? op.bias[j] : 0.0f;
#pragma unroll
      for (int k = 0; k < kSamples; ++k) {
        if (k >= samples) continue;
        z[k] = warp_sum(z[k]);
        if (this_lane() == 0) shared.logits[k * op.C + j] = z[k] + bias;
      }
      if (has_correction) continue;
      q = warp_sum(q);
      if (this_lane() == 0) shared.correction[j] = ratio != 0 ? ratio / 2 * q : 0.0f;
    }
  }

  // The gradients of the chunk's logits in the place of the logits.
  __device__ void take_samples(int samples) const {
    for (int k = this_warp(); k < samples; k += kWarps) {
      const Outcome outcome = take_sample(shared.logits + k * op.C, shared.correction, c, op.C, 1 / static_cast<float>(op.N));
      if (this_lane() != 0) continue;
      shared.losses[k] = outcome.loss;
      shared.misses[k] = outcome.misses;
    }
  }
  __device__ void add_dbias(int samples, bool is_last) const {
    for (int j = thread(); j < op.C; j += kThreads) {
      float sum = shared.gradients[j];
      for (int k = 0; k < samples; ++k) sum += shared.logits[k * op.C + j];
      shared.gradients[j] = sum;
      if (is_last) op.dbias[row_of_slot(j)] = sum;
    }
  }

  // dx of the chunk, and what it, and with the last chunk the correction, adds to dW.
  template <class T>
  __device__ void make_gradients(T* dx, int samples, bool is_first, bool is_last) const {
    for (int first = 0; first < op.A; first += columns) {
      const int column = first + Lines::column();
      float dfeatures[kSamples][4] = {}, of_own[4] = {};
      if (column < op.A) add_rows(column, samples, is_first, is_last, dfeatures, of_own);
      // The lines' sums.
      for (int k = 0; k < samples; ++k) {
        // NOTE: picked by comparisons, since registers have no index.
        float sum[4] = {};
#pragma unroll
        for (int other = 0; other < kSamples; ++other) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sum[i] = other == k ? dfeatures[other][i] : sum[i];
        }
        __syncthreads();
        add_lines<columns>(shared.among, kLines, sum);
        if (Lines::line() != 0) continue;
        const float share = 1 / static_cast<float>(op.pixels);
#pragma unroll
        for (float& value : sum) value *= share;
        store_packed(shared.chunk + k * columns + Lines::column(), sum);
      }
      __syncthreads();
      spread_over_pixels<columns, width>(shared.chunk, {.A = op.A, .first = first}, op.pixels, shared.samples, samples, dx);
      if (is_last && ratio != 0) subtract_own(column, of_own);
    }
  }

  // The rows j of this thread's line, in its four columns.
  __device__ void add_rows(int column, int samples, bool is_first, bool is_last, float (&dfeatures)[kSamples][4], float (&of_own)[4]) const {
    float own[4], s[4];
    load_packed(shared.own + column, own);
    load_packed(shared.variance + column, s);
#pragma unroll 2
    for (int j = Lines::line(); j < op.C; j += kLines) {
      float* to = op.dweight + row_of_slot(j) * op.row() + column;
      float w[4], sum[4] = {};
      tile::load_four<width>(weight(j) + column, op.A - column, w);
      if (!is_first) load_packed(to, sum);
#pragma unroll
      for (int k = 0; k < kSamples; ++k) {
        if (k >= samples) continue;
        float f[4];
        load_packed(shared.features + k * op.row() + column, f);
        const float g = shared.logits[k * op.C + j];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          dfeatures[k][i] += g * w[i];
          sum[i] += g * f[i];
        }
      }
      if (is_last && ratio != 0) {
        const float g = ratio * shared.gradients[j];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float h = g * ((w[i] - own[i]) * s[i]);
          sum[i] += h;
          of_own[i] += h;
        }
      }
      store_packed(to, sum);
    }
  }

  // dW[c] -= sum_j g[c,j] U_c[j], in this thread's columns.
  __device__ void subtract_own(int column, float (&of_own)[4]) const {
    add_lines<columns>(shared.among, kLines, of_own);
    if (Lines::line() != 0 || column >= op.A) return;
    float* to = op.dweight + row_of_slot(c) * op.row() + column;
    float sum[4];
    load_packed(to, sum);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] -= of_own[i];
    store_packed(to, sum);
  }
};

// Blocks: the classes, and one for the samples whose label is none of them: nobody on the card can refuse it, so that their gradient is NaN.
template <int columns, int width, class T>
__global__ void __launch_bounds__(kThreads) diagonal_head_kernel(const __grid_constant__ DiagonalHead op, const T* x, T* dx) {
  const SharedOfDiagonal shared(op.row(), op.C, columns);
  const int thread = static_cast<int>(threadIdx.x), c = static_cast<int>(blockIdx.x);
  const bool is_class = c < op.C;

  // Find the samples.
  const auto find = [&](int chunk) {
    const auto is_mine = [&](int label) { return is_class ? label == c : label < 0 || label >= op.C; };
    return find_samples(op.labels, op.N, is_mine, chunk * kSamples, kSamples, shared.counts, shared.samples);
  };
  const int m = find(0), chunks = (m + kSamples - 1) / kSamples;
  const auto samples_of = [=](int chunk) { return smaller(kSamples, m - chunk * kSamples); };
  if (m == 0) {
    if (thread == 0 && is_class) op.records[c] = {.samples = 0, .slot = 0, .loss = 0, .hits = 0};
    return;
  }
  if (!is_class) {
    for (int i = thread; i < kSamples * columns; i += kThreads) shared.chunk[i] = std::numeric_limits<float>::quiet_NaN();
    for (int chunk = 0; chunk < chunks; ++chunk) {
      if (chunk > 0) find(chunk);
      __syncthreads();
      for (int first = 0; first < op.A; first += columns)
        spread_over_pixels<columns, width>(shared.chunk, {.A = op.A, .first = first}, op.pixels, shared.samples, samples_of(chunk), dx);
    }
    return;
  }
  const DiagonalSteps<columns, width> steps{.op = op, .shared = shared, .c = c, .slot = op.C <= op.N ? c : shared.samples[0], .ratio = *op.ratio};

  // Merge the batch into the statistics.
  steps.load_class();
  float n = op.count[c];
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (chunk > 0) find(chunk);
    steps.average(x, samples_of(chunk));
    steps.merge(samples_of(chunk), n, chunk == chunks - 1);
    n += static_cast<float>(samples_of(chunk));
  }
  if (thread == 0) op.count[c] = n;
  __syncthreads();

  // Logits, losses, gradients.
  float loss = 0;
  int hits = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int samples = samples_of(chunk);
    const bool is_first = chunk == 0, is_last = chunk == chunks - 1;
    if (chunks > 1) {
      find(chunk);
      steps.average(x, samples);
    }
    steps.make_logits(samples, !is_first);
    __syncthreads();
    steps.take_samples(samples);
    __syncthreads();
    steps.add_dbias(samples, is_last);
    for (int k = 0; k < samples && thread == 0; ++k) {
      loss += shared.losses[k];
      hits += shared.misses[k] == 0 ? 1 : 0;
    }
    __syncthreads();
    steps.make_gradients(dx, samples, is_first, is_last);
  }
  if (thread == 0) op.records[c] = {.samples = m, .slot = steps.slot, .loss = loss, .hits = hits};
}

int columns_of(std::int64_t A) { return A <= 64 ? 64 : 256; }

}  // namespace

bool is_diagonal_by_class(const IsdaHead& op) {
  const std::int64_t N = op.x.extent(0), A = op.x.extent(-1), C = op.weight.extent(0);
  return std::min(N, C) * C * A <= kMostOfSlots && SharedOfDiagonal::bytes(A, C, columns_of(A)) <= kMostShared;
}

void head_by_class_diagonal(const Context& context, const IsdaHead& op) {
  const ConstView x = as_maps(op.x);
  const std::int64_t N = x.extent(0), C = op.weight.extent(0), A = x.extent(3), slots = std::min(N, C), row = (A + 3) / 4 * 4;
  const int columns = columns_of(A);
  const bool is_packed = A % 4 == 0 && are_aligned({op.x, op.weight, op.dx});
  Scratch scratch = context.scratch();
  const DiagonalHead head{.N = static_cast<int>(N),
                          .C = static_cast<int>(C),
                          .A = static_cast<int>(A),
                          .pixels = static_cast<int>(x.extent(1) * x.extent(2)),
                          .labels = op.labels.as<std::int32_t>(),
                          .weight = op.weight.as<float>(),
                          .bias = op.bias.as<float>(),
                          .ratio = op.ratio.as<float>(),
                          .count = op.count.as<float>(),
                          .mean = op.mean.as<float>(),
                          .variance = op.covariance.as<float>(),
                          .records = scratch.take<ClassRecord>(C),
                          .dweight = scratch.take<float>(slots * C * row),
                          .dbias = scratch.take<float>(slots * C)};
  const LaunchShape shape{
      .name = "isda_head_diagonal", .grid = static_cast<unsigned>(C) + 1, .block = kThreads, .shared_bytes = SharedOfDiagonal::bytes(A, C, columns)};
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    const auto start = [&](auto* kernel) { launch(context, shape, kernel, head, elements<T>(op.x), elements<T>(op.dx)); };
    if (columns == 64)
      is_packed ? start(diagonal_head_kernel<64, 4, T>) : start(diagonal_head_kernel<64, 1, T>);
    else
      is_packed ? start(diagonal_head_kernel<256, 4, T>) : start(diagonal_head_kernel<256, 1, T>);
  });
  add_classes(context, {.N = head.N,
                        .C = head.C,
                        .A = head.A,
                        .columns = static_cast<int>(row),
                        .records = head.records,
                        .dweight_of_slots = head.dweight,
                        .dbias_of_slots = head.dbias,
                        .dweight = op.dweight.as<float>(),
                        .dbias = op.dbias.as<float>(),
                        .loss = op.loss.as<float>(),
                        .correct = op.correct.as<std::int32_t>()});
}

}  // namespace isda::kernels
