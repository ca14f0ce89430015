// SPDX-License-Identifier: Apache-2.0
// The steps of a block that owns a class (class_block.cuh), in the order in which head_by_class.cu takes them: the class's statistics, what corrects the
// logits of its samples, the logits, their softmax, the gradients.
//
// Where several chunks or tiles go by, what is added up over them lies in memory, and a thread always adds to what it wrote itself.
#pragma once
#include <limits>

#include "kernels/isda/class_block.cuh"
#include "kernels/isda/head_by_class.cuh"

namespace isda::kernels::class_block {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

struct ClassHead {
  int N, C, A, pixels;
  int rows;      // classes of a tile
  bool keeps_u;  // in shared memory
  const std::int32_t* labels;
  const float *weight, *bias, *ratio;  // bias: or null
  float *count, *mean, *covariance;
  // What a class leaves. A row of `columns` features each.
  ClassRecord* records;  // (C)
  float* dweight;        // (slots,C,columns)
  float* dbias;          // (slots,C)
  float* u;              // (slots,C,columns), where shared memory has no room
  float* correction;     // (slots,C), where there are several tiles
};

// The block of a class that is present.
template <int columns, int width>
struct ClassSteps {
  using Lines = Threads<columns>;
  static constexpr int kSide = Lines::kSide, kLines = Lines::kLines, kChunk = Lines::kChunk, kStride = Shared<columns>::kWeightStride;
  // Rows of U_c that the block makes at a time, and of them a thread's.
  static constexpr int kRowsAtOnce = 128, kRowsOfThread = kRowsAtOnce / kLines;

  const ClassHead& op;
  const Shared<columns>& shared;
  int c, slot;
  float ratio;
  int held = 0;  // the tile that is in shared memory
  // The sum of g[c,j] U_c[j] over the rows j of this thread's line.
  float of_own[4] = {};

  __device__ int tiles() const { return (op.C + op.rows - 1) / op.rows; }
  __device__ int first(int tile) const { return tile * op.rows; }
  __device__ int rows(int tile) const { return smaller(op.rows, op.C - first(tile)); }
  __device__ int depth() const { return (op.A + 3) / 4 * 4; }
  __device__ static int column() { return Lines::column(); }
  __device__ static int line() { return Lines::line(); }
  __device__ std::int64_t row_of_slot(int j) const { return std::int64_t{slot} * op.C + j; }

  __device__ void request_tile(int tile) {
    request_rows<columns, width>(shared.weight, kStride, op.weight + std::int64_t{first(tile)} * op.A, op.A, rows(tile), rows(tile));
    ptx::cp_async_commit();
  }
  // What the class has in memory, on its way to shared memory.
  __device__ void request_all() {
    const std::int64_t own = std::int64_t{c} * op.A;
    request_rows<columns, width>(shared.own, columns, op.weight + own, op.A, 1, 1);
    request_rows<columns, width>(shared.covariance, columns, op.covariance + own * op.A, op.A, op.A, columns);
    request_tile(0);
  }
  // The tile's rows of W, and of the correction when it is known, in the place of those before. All threads come here, and find it.
  __device__ void hold(int tile, bool has_correction) {
    if (tile == held) return;
    __syncthreads();
    request_tile(tile);
    if (has_correction) {
      for (int j = static_cast<int>(threadIdx.x); j < rows(tile); j += kThreads) shared.correction[j] = op.correction[row_of_slot(first(tile) + j)];
    }
    ptx::cp_async_wait<0>();
    __syncthreads();
    held = tile;
  }

  // Folds `count` samples into the mean, of which `mean` is this thread's feature, and into the covariance, of a class that has seen n before.
  __device__ void merge(int count, float n, float& mean, bool is_last) {
    const int a = static_cast<int>(threadIdx.x);
    const float samples = static_cast<float>(count), total = n + samples, share = samples / total, keep = n / total;
    if (a < columns) {
      float nu = 0;
      for (int k = 0; k < count; ++k) nu += shared.features[k * columns + a];
      nu /= samples;
      const float of_sample = sqrtf(1 / total), shift = mean - nu;
      for (int k = 0; k < count; ++k) shared.terms[k * columns + a] = of_sample * (shared.features[k * columns + a] - nu);
      shared.terms[count * columns + a] = sqrtf(share * keep) * shift;
      mean -= share * shift;
    }
    __syncthreads();
    add_terms(count, keep, is_last);
  }

  // S_c <- keep S_c + sum_k z_k z_k^T, k = 0 ... rank; a thread a few rows of its columns.
  __device__ void add_terms(int rank, float keep, bool is_last) {
    constexpr int kOwn = columns > kLines ? columns / kLines : 1;
    if (line() >= columns) return;
    float sums[kOwn][4];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      load_packed(shared.covariance + (line() + kLines * i) * columns + column(), sums[i]);
#pragma unroll
      for (float& sum : sums[i]) sum *= keep;
    }
    for (int k = 0; k <= rank; ++k) {
      float z[4];
      load_packed(shared.terms + k * columns + column(), z);
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const float of_row = shared.terms[k * columns + line() + kLines * i];
#pragma unroll
        for (int b = 0; b < 4; ++b) sums[i][b] = fmaf(of_row, z[b], sums[i][b]);
      }
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int row = line() + kLines * i;
      store_packed(shared.covariance + row * columns + column(), sums[i]);
      if (is_last && row < op.A) tile::store_four<width>(op.covariance + (std::int64_t{c} * op.A + row) * op.A + column(), op.A - column(), sums[i]);
    }
  }

  // Four elements of D_c[j], for row j of the tile, from column a on.
  template <int count>
  __device__ void load_difference(int j, int a, float (&d)[count]) const {
    float own[count];
    load_packed(shared.own + a, own);
    load_packed(shared.weight + j * kStride + a, d);
#pragma unroll
    for (int i = 0; i < count; ++i) d[i] -= own[i];
  }
  // U_c[j], for row j of the tile, in this thread's columns.
  __device__ float* u(int tile, int j) const { return (op.keeps_u ? shared.u + j * columns : op.u + row_of_slot(first(tile) + j) * columns) + column(); }

  // The tile's rows of U_c and of the correction of the logits.
  __device__ void multiply(int tile) {
    const int count = rows(tile);
    if (ratio == 0) {
      for (int j = static_cast<int>(threadIdx.x); j < count; j += kThreads) keep_correction(tile, j, 0);
      return;
    }
    for (int first_row = 0; first_row < count; first_row += kRowsAtOnce) {
      float sums[kRowsOfThread][4] = {};
      // NOTE: rows behind the last are the last once more.
      const auto row = [=](int r) { return smaller(first_row + line() + kLines * r, count - 1); };
      // NOTE: a thread of many rows takes fewer elements of D_c at a time, for the registers' sake.
      constexpr int kDepth = kRowsOfThread > 4 ? 2 : 4;
      for (int k = 0; k < depth(); k += kDepth) {
        float d[kRowsOfThread][kDepth];
#pragma unroll
        for (int r = 0; r < kRowsOfThread; ++r) load_difference(row(r), k, d[r]);
#pragma unroll
        for (int i = 0; i < kDepth; ++i) {
          float s[4];
          load_packed(shared.covariance + (k + i) * columns + column(), s);
#pragma unroll
          for (int r = 0; r < kRowsOfThread; ++r) {
#pragma unroll
            for (int b = 0; b < 4; ++b) sums[r][b] += d[r][i] * s[b];
          }
        }
      }
#pragma unroll
      for (int r = 0; r < kRowsOfThread; ++r) {
        const int j = first_row + line() + kLines * r;
        float d[4], product = 0;
        load_difference(row(r), column(), d);
#pragma unroll
        for (int b = 0; b < 4; ++b) product += sums[r][b] * d[b];
        product = warp_sum<kSide>(product);
        if (j >= count) continue;
        store_packed(u(tile, j), sums[r]);
        if (column() == 0) keep_correction(tile, j, ratio / 2 * product);
      }
    }
  }
  __device__ void keep_correction(int tile, int j, float value) const {
    shared.correction[j] = value;
    if (tiles() > 1) op.correction[row_of_slot(first(tile) + j)] = value;
  }

  // The plain logits of the chunk: a thread a sample and a class.
  __device__ void make_logits(int tile, int samples) const {
    const int count = rows(tile);
    for (int task = static_cast<int>(threadIdx.x); task < count * samples; task += kThreads) {
      const int j = task % count, k = task / count;
      float sum = 0;
#pragma unroll 2
      for (int a = 0; a < depth(); a += 4) {
        float f[4], w[4];
        load_packed(shared.features + k * columns + a, f);
        load_packed(shared.weight + j * kStride + a, w);
#pragma unroll
        for (int i = 0; i < 4; ++i) sum += f[i] * w[i];
      }
      shared.logits[k * op.rows + j] = sum + (op.bias ? op.bias[first(tile) + j] : 0.0f);
    }
  }

  // Takes the tile's logits into the softmax of each sample, a warp a sample.
  __device__ void fold_softmax(int tile, int samples) const {
    const int count = rows(tile), own = c - first(tile);
    for (int k = this_warp(); k < samples; k += kWarps) {
      const float* logits = shared.logits + k * op.rows;
      float top = -kInfinity;
      int first_top = count;
      // NOTE: a few turns at most; unrolled they would cost registers elsewhere.
#pragma unroll 1
      for (int j = this_lane(); j < count; j += kWarp) {
        const float value = logits[j] + shared.correction[j];
        if (value > top) {
          top = value;
          first_top = j;
        }
      }
      const float top_of_lane = top;
      top = warp_max(top);
      first_top = warp_reduce(top_of_lane == top ? first_top : count, [](int a, int b) { return smaller(a, b); });
      // NOTE: the largest itself adds 0, or NaN where it is infinite; a NaN, which is never the largest, adds NaN.
      float others = 0;
#pragma unroll 1
      for (int j = this_lane(); j < count; j += kWarp) {
        const float value = logits[j] + shared.correction[j];
        others += expf(value == -kInfinity ? -kInfinity : value - top) - (j == first_top ? 1.0f : 0.0f);
      }
      others = warp_sum(others);
      if (this_lane() != 0) continue;
      Softmax mine{.top = top, .others = others, .own = kNaN, .first = first(tile) + first_top};
      if (tile > 0) {
        const Softmax before = shared.softmax[k];
        mine.own = before.own;
        const bool is_larger = mine.top > before.top;
        const Softmax &large = is_larger ? mine : before, &small = is_larger ? before : mine;
        const float others_of_both = large.others + (1 + small.others) * expf(small.top == -kInfinity ? -kInfinity : small.top - large.top);
        mine = {.top = large.top, .others = others_of_both, .own = before.own, .first = large.first};
      }
      if (own >= 0 && own < count) mine.own = logits[own] + shared.correction[own];
      shared.softmax[k] = mine;
    }
  }

  // The gradients of the logits in the place of the logits, and the classes whose plain logit is not below that of the label, a warp a sample.
  __device__ void make_gradients(int tile, int samples) const {
    const float scale = 1 / static_cast<float>(op.N);
    for (int k = this_warp(); k < samples; k += kWarps) {
      float* logits = shared.logits + k * op.rows;
      const Softmax softmax = shared.softmax[k];
      const float factor = scale / (1 + softmax.others);
      int misses = 0;
#pragma unroll 1
      for (int j = this_lane(); j < rows(tile); j += kWarp) {
        // NOTE: a comparison with NaN is a miss. The label's own logit has no correction.
        const int other = first(tile) + j;
        const float plain = logits[j];
        misses += (other < c ? softmax.own > plain : softmax.own >= plain) ? 0 : 1;
        float gradient = expf(plain + shared.correction[j] - softmax.top) * factor;
        if (other == c) gradient = c == softmax.first ? -softmax.others * factor : gradient - scale;
        logits[j] = gradient;
      }
      misses = static_cast<int>(__reduce_add_sync(kAllLanes, static_cast<unsigned>(misses)));
      // NOTE: tiles come here from the last to the first.
      if (this_lane() == 0) shared.misses[k] = misses + (tile == tiles() - 1 ? 0 : shared.misses[k]);
    }
  }

  // Gc[c,j], over the chunks so far.
  __device__ void add_dbias(int tile, int samples, bool is_first) const {
    for (int j = static_cast<int>(threadIdx.x); j < rows(tile); j += kThreads) {
      float* to = op.dbias + row_of_slot(first(tile) + j);
      float sum = is_first ? 0.0f : *to;
      for (int k = 0; k < samples; ++k) sum += shared.logits[k * op.rows + j];
      *to = sum;
      shared.gradients[j] = ratio * sum;
    }
  }

  // dF += G W, for this thread's part of a sample.
  __device__ void add_dfeatures(int tile, int samples, float (&sum)[4]) const {
    const LinesOfSample<columns> place(samples);
    if (place.sample >= samples) return;
#pragma unroll 4
    for (int j = place.part; j < rows(tile); j += place.share) {
      float w[4];
      load_packed(shared.weight + j * kStride + column(), w);
      const float g = shared.logits[place.sample * op.rows + j];
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] += g * w[i];
    }
  }

  // What the chunk, and with the last of them the correction, adds to dW.
  __device__ void add_dweight(int tile, int samples, bool is_first, bool is_last) {
    for (int j = line(); j < rows(tile); j += kLines) {
      float* to = op.dweight + row_of_slot(first(tile) + j) * columns + column();
      float sum[4] = {};
      if (!is_first) load_packed(to, sum);
#pragma unroll 2
      for (int k = 0; k < samples; ++k) {
        float f[4];
        load_packed(shared.features + k * columns + column(), f);
        const float g = shared.logits[k * op.rows + j];
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[i] += g * f[i];
      }
      if (is_last && ratio != 0) {
        float values[4];
        load_packed(u(tile, j), values);
        const float g = shared.gradients[j];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sum[i] += g * values[i];
          of_own[i] += g * values[i];
        }
      }
      store_packed(to, sum);
    }
  }

  // dW[c] -= sum_j g[c,j] U_c[j]
  __device__ void finish_dweight() {
    if (ratio == 0) return;
    __syncthreads();
    add_lines<columns>(shared.terms, kLines, of_own);
    if (line() != 0) return;
    float* to = op.dweight + row_of_slot(c) * columns + column();
    float sum[4];
    load_packed(to, sum);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] -= of_own[i];
    store_packed(to, sum);
  }
};

}  // namespace isda::kernels::class_block
