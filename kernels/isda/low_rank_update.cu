// SPDX-License-Identifier: Apache-2.0
// The update of covariances of low rank (low_rank.h): a block of 256 threads owns a class, chunk after chunk of its terms, and does all of it.
//
//   multiply   the Gram matrix of the candidates, by tiles of 64 x 64 (tile.cuh); what lies below the diagonal is what lies above it
//   turn       its eigenvectors, by the rotations of jacobi.h: those of a round at once. A round is two steps. Thread i works out rotation i; then every
//              pair of rotations (i,j) turns the four elements of G that their rows and columns have in common, and rotation i two rows of E. Nothing is in
//              two places
//   sort       the places of the eigenvalues, and E transposed in that order, in the place of G
//   rotate     64 features at a time: the candidates to shared memory, the first R rows of E times them by tiles: V_c. What the squares of the candidates are
//              more than those of V_c goes to d_c
//
//   bytes  V_c and the terms twice for each chunk, V_c and d_c written once      FLOP  4 n^2 A + 6 n^3 a sweep, n = R + m + 1 rounded up to four
//
// G and E lie in shared memory while that has room, up to n = 116; beyond, in the scratch memory of the block. Everything is f32, and every sum has one order.
#include "kernels/isda/head_by_class.cuh"
#include "kernels/isda/jacobi.h"
#include "kernels/isda/low_rank.cuh"
#include "kernels/isda/low_rank.h"
#include "kernels/isda/tile.cuh"

namespace isda::kernels {

namespace {

using tile::Neighbours;
using Turn = jacobi::Rotation<float>;

constexpr int kThreads = tile::kThreads, kWarps = kThreads / kWarp;
constexpr int kColumns = tile::kExtent;             // features rotated at a time
constexpr int kLines = tile::kExtent / tile::kOwn;  // threads below each other in a tile
constexpr int kChunk = static_cast<int>(low_rank::kTermsAtOnce);

struct LowRankUpdate {
  Membership members;
  CovarianceTerms terms;
  int A, R;
  int most;           // candidates of a chunk, rounded up
  float* covariance;  // (C,1+R,A)
  float* count;       // (C)
  float* matrices;    // G and E of every slot, or null: they fit into shared memory
};

// Rows of G and E are an odd number of elements apart: neither a row nor a column lies in one bank.
constexpr int round_up(int n) { return (n + 3) / 4 * 4; }
constexpr int square(int n) { return n * (n + 1); }

struct Shared {
  float *g, *e;            // (most,most+1)
  float* candidates;       // (most,kColumns)
  float *squares, *rests;  // (kLines,kColumns): in the place of E, when that has been sorted
  Turn* turns;             // (most/2)
  int* places;             // (most)

  static constexpr int size_of_e(int most) { return square(most) > 2 * kLines * kColumns ? square(most) : 2 * kLines * kColumns; }

  __device__ __forceinline__ Shared(const LowRankUpdate& op, int slot) {
    SharedCarver carver;
    const auto most = static_cast<unsigned>(op.most);
    candidates = carver.take<float>(most * kColumns);
    turns = carver.take<Turn>(most / 2);
    places = carver.take<int>(most);
    if (op.matrices) {
      g = op.matrices + std::int64_t{2} * slot * square(op.most);
      e = g + square(op.most);
    } else {
      g = carver.take<float>(static_cast<unsigned>(square(op.most)));
      e = carver.take<float>(static_cast<unsigned>(size_of_e(op.most)));
    }
    squares = e;
    rests = e + kLines * kColumns;
  }
  static std::size_t bytes(int most, bool has_matrices) {
    const auto n = static_cast<std::size_t>(most);
    const std::size_t matrices = has_matrices ? static_cast<std::size_t>(square(most) + size_of_e(most)) : 0;
    // NOTE: each piece may begin up to 16 bytes behind the last one's end.
    return sizeof(float) * (n * kColumns + n + matrices) + sizeof(Turn) * n / 2 + 96;
  }
};

// The rows of B but for the scale of V, and zeros behind them.
struct Candidates {
  const float *V, *terms;
  int A, R, count;             // count: rows in all
  float scale, rest_of_scale;  // sqrt(keep), and what it lacks to be exact

  __device__ __forceinline__ float scale_of(int row) const { return row < R ? scale : 1.0f; }
  template <int width>
  __device__ __forceinline__ void load(int row, int a, float (&values)[4]) const {
    const float* from = row < R ? V + std::int64_t{row} * A : terms + std::int64_t{row - R} * A;
    tile::load_four<width>(from + a, row < count ? A - a : 0, values);
  }
};

// G = B B^T, of `extent` rows.
template <int width>
__device__ void multiply(const Candidates& B, int extent, float* g, tile::Step<>& step) {
  const int stride = extent + 1;
  for (int first_row = 0; first_row < extent; first_row += tile::kExtent) {
    for (int first_column = first_row; first_column < extent; first_column += tile::kExtent) {
      float sums[tile::kOwn][tile::kOwn] = {};
      tile::add_products<Neighbours::along_k, Neighbours::along_k>(
          step, B.A, [&](int position, int k, float(&values)[4]) { B.load<width>(first_row + position, k, values); },
          [&](int position, int k, float(&values)[4]) { B.load<width>(first_column + position, k, values); }, sums);
      // NOTE: a tile on the diagonal is symmetric to the bit, made of the same products in the same order.
      const int row = first_row + tile::own_row(), column = first_column + tile::own_column();
#pragma unroll
      for (int i = 0; i < tile::kOwn; ++i) {
#pragma unroll
        for (int j = 0; j < tile::kOwn; ++j) {
          if (row + i >= extent || column + j >= extent) continue;
          const float value = sums[i][j] * (B.scale_of(row + i) * B.scale_of(column + j));
          g[(row + i) * stride + column + j] = value;
          if (first_column != first_row) g[(column + j) * stride + row + i] = value;
        }
      }
    }
  }
}

// The four elements of G in the rows of one pair and the columns of another one, and those across the diagonal.
__device__ __forceinline__ void turn_four(float* g, int stride, jacobi::Pair rows, const Turn& of_rows, jacobi::Pair columns, const Turn& of_columns) {
  float pp = g[rows.p * stride + columns.p], pq = g[rows.p * stride + columns.q];
  float qp = g[rows.q * stride + columns.p], qq = g[rows.q * stride + columns.q];
  of_rows.turn(pp, qp);
  of_rows.turn(pq, qq);
  of_columns.turn(pp, pq);
  of_columns.turn(qp, qq);
  g[rows.p * stride + columns.p] = g[columns.p * stride + rows.p] = pp;
  g[rows.p * stride + columns.q] = g[columns.q * stride + rows.p] = pq;
  g[rows.q * stride + columns.p] = g[columns.p * stride + rows.q] = qp;
  g[rows.q * stride + columns.q] = g[columns.q * stride + rows.q] = qq;
}

// G becomes diagonal, the rows of E its eigenvectors; n is even. All threads of the block come here.
__device__ void turn(float* g, float* e, int n, Turn* turns) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp, stride = n + 1;
  for (int i = warp; i < n; i += kWarps) {
    for (int k = lane; k < n; k += kWarp) e[i * stride + k] = i == k ? 1.0f : 0.0f;
  }
  float trace = 0;
  for (int i = 0; i < n; ++i) trace += g[i * stride + i];
  const float least = jacobi::kSmall<float> * trace / static_cast<float>(n);
  for (int sweep = 0; sweep < jacobi::kMostSweeps; ++sweep) {
    bool has_turned = false;
    for (int round = 0; round < n - 1; ++round) {
      for (int i = thread; i < n / 2; i += kThreads) {
        const auto [p, q] = jacobi::pair_of(round, i, n);
        const float pp = g[p * stride + p], qq = g[q * stride + q], pq = g[p * stride + q];
        turns[i] = jacobi::rotation_of(pp, qq, pq, least, [](float x) { return sqrtf(x); });
        has_turned = has_turned || turns[i].s != 0;
      }
      __syncthreads();
      for (int i = warp; i < n / 2; i += kWarps) {
        const jacobi::Pair rows = jacobi::pair_of(round, i, n);
        const Turn of_rows = turns[i];
        for (int j = i + lane; j < n / 2; j += kWarp) {
          const jacobi::Pair columns = jacobi::pair_of(round, j, n);
          const Turn of_columns = turns[j];
          if (of_rows.s == 0 && of_columns.s == 0) continue;
          if (i != j) {
            turn_four(g, stride, rows, of_rows, columns, of_columns);
          } else {
            const float fall = of_rows.t * g[rows.p * stride + rows.q];
            g[rows.p * stride + rows.p] -= fall;
            g[rows.q * stride + rows.q] += fall;
            g[rows.p * stride + rows.q] = g[rows.q * stride + rows.p] = 0;
          }
        }
        if (of_rows.s == 0) continue;
        for (int k = lane; k < n; k += kWarp) of_rows.turn(e[rows.p * stride + k], e[rows.q * stride + k]);
      }
      __syncthreads();
    }
    if (__syncthreads_or(has_turned) == 0) break;
  }
}

// sorted[k,place] = E[i,k] times the scale of candidate k, where place is that of eigenvalue i; in the place of G. All threads of the block come here.
// NOTE: a scale that is rounded first would be wrong for all elements in the same way, and step after step that adds up to something.
__device__ void sort(const Candidates& B, float* g, const float* e, int n, int* places) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp, stride = n + 1;
  for (int i = thread; i < n; i += kThreads) {
    places[i] = jacobi::place_of([&](int k) { return g[k * stride + k]; }, i, n);
  }
  __syncthreads();
  for (int i = warp; i < n; i += kWarps) {
    for (int k = lane; k < n; k += kWarp) {
      const float value = e[i * stride + k];
      g[k * n + places[i]] = k < B.R ? fmaf(value, B.scale, value * B.rest_of_scale) : value;
    }
  }
  __syncthreads();
}

// A sum of f32 and what its rounding lost, so that it is as good as one of twice the digits (Knuth, The Art of Computer Programming 2, 4.2.2).
struct ExactSum {
  float sum = 0, rest = 0;

  __device__ __forceinline__ void add(float x) {
    const float before = sum;
    sum += x;
    const float added = sum - before;
    rest += (before - (sum - added)) + (x - added);
  }
  // weight x^2
  __device__ __forceinline__ void add_square(float weight, float x) {
    const float square = x * x, product = weight * square;
    add(product);
    rest += fmaf(weight, square, -product) + weight * fmaf(x, x, -square);
  }
};

// V <- the first R rows of E B, d <- keep d + the squares of the others: what the candidates' are more than those of V.
// sorted: E transposed (n,n). NOTE: compared exactly, d takes up what the rounding of V does to the diagonal, which would add up step after step.
template <int width>
__device__ void rotate(const Candidates& B, int n, const float* sorted, float keep, const Shared& shared, float* d, float* V) {
  const int thread = static_cast<int>(threadIdx.x), column = tile::own_column(), line = thread / kLines;
  for (int first = 0; first < B.A; first += kColumns) {
    const int left = B.A - first - column;
    for (int row = line; row < n; row += kThreads / kLines) {
      float values[4];
      B.load<width>(row, first + column, values);
      store_packed(shared.candidates + row * kColumns + column, values);
    }
    __syncthreads();
    ExactSum squares[4];
    for (int row = line; row < B.count; row += kLines) {
      float values[4];
      load_packed(shared.candidates + row * kColumns + column, values);
#pragma unroll
      for (int j = 0; j < 4; ++j) squares[j].add_square(row < B.R ? keep : 1.0f, values[j]);
    }
    for (int row = tile::own_row(); row < B.R; row += tile::kExtent) {
      float sums[tile::kOwn][tile::kOwn] = {};
      for (int k = 0; k < n; ++k) {
        float of_rows[tile::kOwn], of_columns[tile::kOwn];
        load_packed(sorted + k * n + row, of_rows);
        load_packed(shared.candidates + k * kColumns + column, of_columns);
#pragma unroll
        for (int i = 0; i < tile::kOwn; ++i) {
#pragma unroll
          for (int j = 0; j < tile::kOwn; ++j) sums[i][j] = fmaf(of_rows[i], of_columns[j], sums[i][j]);
        }
      }
#pragma unroll
      for (int i = 0; i < tile::kOwn; ++i) {
        if (row + i >= B.R) continue;
        tile::store_four<width>(V + std::int64_t{row + i} * B.A + first + column, left, sums[i]);
#pragma unroll
        for (int j = 0; j < tile::kOwn; ++j) squares[j].add_square(-1, sums[i][j]);
      }
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      shared.squares[line * kColumns + column + j] = squares[j].sum;
      shared.rests[line * kColumns + column + j] = squares[j].rest;
    }
    // NOTE: from here on the candidates may be others; and what was written to V is there for all, in the next chunk.
    __syncthreads();
    if (thread < kColumns && first + thread < B.A) {
      ExactSum sum;
      for (int other = 0; other < kLines; ++other) {
        sum.add(shared.squares[other * kColumns + thread]);
        sum.rest += shared.rests[other * kColumns + thread];
      }
      const float value = keep * d[first + thread] + (sum.sum + sum.rest);
      // NOTE: a NaN stays one.
      d[first + thread] = value < 0 ? 0 : value;
    }
  }
}

// Blocks: slots.
template <int width>
__global__ void __launch_bounds__(kThreads, 2) low_rank_update_kernel(const __grid_constant__ LowRankUpdate op) {
  SIMT_SHARED(step, tile::Step<>);
  const int slot = static_cast<int>(blockIdx.x);
  if (slot >= *op.members.present) return;
  const Shared shared(op, slot);
  const int c = op.members.classes[slot], m = op.members.count(slot);
  float *d = op.covariance + std::int64_t{c} * (1 + op.R) * op.A, *V = d + op.A;
  const float* terms = op.terms.rows + op.terms.first_row(op.members, slot) * op.A;
  for (int first = 0; first <= m; first += kChunk) {
    const int count = op.R + (m + 1 - first < kChunk ? m + 1 - first : kChunk), n = round_up(count);
    const float keep = first == 0 ? op.terms.kept(op.members, slot) : 1.0f, scale = sqrtf(keep);
    const Candidates B{.V = V,
                       .terms = terms + std::int64_t{first} * op.A,
                       .A = op.A,
                       .R = op.R,
                       .count = count,
                       .scale = scale,
                       .rest_of_scale = scale > 0 ? fmaf(-scale, scale, keep) / (2 * scale) : 0.0f};
    multiply<width>(B, n, shared.g, step);
    __syncthreads();
    turn(shared.g, shared.e, n, shared.turns);
    sort(B, shared.g, shared.e, n, shared.places);
    rotate<width>(B, n, shared.g, keep, shared, d, V);
  }
  if (threadIdx.x == 0) op.count[c] += static_cast<float>(m);
}

}  // namespace

void update_low_rank_on_card(const Context& context, const Membership& members, const CovarianceTerms& terms, const View& covariance, const View& count) {
  const std::int64_t R = directions_of(covariance), A = covariance.extent(2);
  require(R <= kMostDirectionsOnCard, "[isda_update] covariance {} has {} directions, and the kernels of a card take at most {}; use fewer, or --device cpu",
          covariance.shape(), R, kMostDirectionsOnCard);
  Scratch scratch = context.scratch();
  const int most = round_up(static_cast<int>(R) + kChunk);
  const bool are_shared = Shared::bytes(most, true) + sizeof(tile::Step<>) <= kMostShared;
  const LowRankUpdate op{.members = members,
                         .terms = terms,
                         .A = static_cast<int>(A),
                         .R = static_cast<int>(R),
                         .most = most,
                         .covariance = covariance.as<float>(),
                         .count = count.as<float>(),
                         .matrices = are_shared ? nullptr : scratch.take<float>(std::int64_t{2} * members.most * square(most))};
  dispatch_width<float>(A, are_aligned({covariance}), [&]<int width>() {
    launch(context,
           {.name = "isda_low_rank_update", .grid = static_cast<unsigned>(members.most), .block = kThreads, .shared_bytes = Shared::bytes(most, are_shared)},
           low_rank_update_kernel<width>, op);
  });
}

}  // namespace isda::kernels
