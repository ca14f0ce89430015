// SPDX-License-Identifier: Apache-2.0
// Covariances of low rank on the cpu (low_rank.h). Every product is made of the tiles of gemm.h.
//
//   update    a thread a class: its candidates side by side, their Gram matrix in f32, its eigenvectors in double, the rotated candidates
//   project   a thread a class, whose V_c it packs, and whose D_c[j] it makes as it goes
//   correct   a thread a block of columns of dW, which stays in cache while the classes go by
//
// NOTE: eigenvectors in double because the lengths that they keep, step after step, are those of the statistics; they are few numbers. But not closer to those
// of the Gram matrix than its own rounding.
#include <algorithm>
#include <cmath>

#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"
#include "kernels/isda/jacobi.h"
#include "kernels/isda/low_rank.h"

namespace isda::kernels::low_rank {

namespace {

// What a thread needs for the update of a class with up to `most` candidates.
struct Workplace {
  std::int64_t most, A;
  float* candidates;  // (most,A)
  float* gram;        // (most,most)
  float* rotation;    // (most,most): eigenvectors, the longest first
  float* panel;       // (max(most,A),kTileColumns)
  double *g, *e;      // (most,most)

  std::int64_t panel_size() const { return std::max(most, A) * kTileColumns; }
  // The first of `threads` places.
  static Workplace make(Scratch& scratch, std::int64_t most, std::int64_t A, int threads) {
    Workplace work{.most = most, .A = A};
    work.candidates = scratch.take<float>(threads * most * A);
    work.gram = scratch.take<float>(threads * most * most);
    work.rotation = scratch.take<float>(threads * most * most);
    work.panel = scratch.take<float>(threads * work.panel_size());
    work.g = scratch.take<double>(threads * most * most);
    work.e = scratch.take<double>(threads * most * most);
    return work;
  }
  Workplace of(int thread) const {
    const std::int64_t square = thread * most * most;
    return {most, A, candidates + thread * most * A, gram + square, rotation + square, panel + thread * panel_size(), g + square, e + square};
  }
};

// sum <- sum + weight x^2, of a panel's columns.
void add_squares(double weight, const float* x, double* sum) {
  for (int j = 0; j < kTileColumns; ++j) sum[j] += weight * (static_cast<double>(x[j]) * x[j]);
}

// g = B B^T of the first n candidates, of which the first R are yet to be scaled: the tiles that reach the diagonal or lie above it, the rest by symmetry.
void multiply_candidates(const Workplace& work, std::int64_t n, std::int64_t R, double scale) {
  const std::int64_t A = work.A;
  for (std::int64_t column = 0; column < n; column += kTileColumns) {
    const std::int64_t count = std::min<std::int64_t>(n - column, kTileColumns), last = column + count;
    pack_panel({work.candidates, 1, A}, A, n, column, work.panel);
    for (std::int64_t row = 0; row < last; row += kTileRows) {
      with_tile_rows(last - row, [&]<int rows>() {
        TileRow sum[rows];
        multiply_tile<rows>(A, {work.candidates + row * A, A, 1}, work.panel, sum);
        for (int r = 0; r < rows; ++r) store_row(work.gram + (row + r) * n + column, sum[r], count);
      });
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) work.g[i * n + j] = (i < R ? scale : 1) * (j < R ? scale : 1) * (i <= j ? work.gram[i * n + j] : work.gram[j * n + i]);
  }
}

// V <- the R longest of the n rotated candidates; d <- keep d + the squares of the others: what the candidates' squares are more than those of V.
// NOTE: scaled in double, with the rotation, since a scale that is rounded first would be wrong for all elements in the same way; and the squares compared in
// double, so that d takes up what the rounding of V does to the diagonal. Otherwise both add up, step after step.
void rotate_candidates(const Workplace& work, std::int64_t n, std::int64_t R, float keep, float* d, float* V) {
  const std::int64_t A = work.A;
  const double scale = std::sqrt(static_cast<double>(keep));
  jacobi::diagonalise(static_cast<int>(n), work.g, work.e, jacobi::kSmall<float>);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t place = jacobi::place_of([&](int k) { return work.g[k * (n + 1)]; }, static_cast<int>(i), static_cast<int>(n));
    for (std::int64_t k = 0; k < n; ++k) work.rotation[place * n + k] = static_cast<float>((k < R ? scale : 1) * work.e[i * n + k]);
  }
  for (std::int64_t column = 0; column < A; column += kTileColumns) {
    const std::int64_t count = std::min<std::int64_t>(A - column, kTileColumns);
    pack_panel({work.candidates, A, 1}, n, A, column, work.panel);
    double rest[kTileColumns] = {};
    for (std::int64_t a = 0; a < count; ++a) rest[a] = static_cast<double>(keep) * d[column + a];
    for (std::int64_t k = 0; k < n; ++k) add_squares(k < R ? keep : 1.0, work.panel + k * kTileColumns, rest);
    for (std::int64_t row = 0; row < R; row += kTileRows) {
      with_tile_rows(R - row, [&]<int rows>() {
        TileRow sum[rows];
        multiply_tile<rows>(n, {work.rotation + row * n, n, 1}, work.panel, sum);
        for (int r = 0; r < rows; ++r) {
          float values[kTileColumns];
          store_row(values, sum[r]);
          add_squares(-1, values, rest);
          copy_some(values, count, V + (row + r) * A + column);
        }
      });
    }
    // NOTE: a NaN stays one.
    for (std::int64_t a = 0; a < count; ++a) d[column + a] = rest[a] < 0 ? 0 : static_cast<float>(rest[a]);
  }
}

void update_class(const Workplace& work, const Terms& terms, std::int64_t slot, std::int64_t R, float* covariance) {
  const std::int64_t A = work.A, rank = terms.rank(slot);
  float *d = covariance + terms.members.classes[slot] * (1 + R) * A, *V = d + A;
  for (std::int64_t first = 0; first < rank; first += kTermsAtOnce) {
    const std::int64_t count = std::min(kTermsAtOnce, rank - first);
    const float keep = first == 0 ? terms.keep[slot] : 1.0f;
    std::copy_n(V, R * A, work.candidates);
    std::copy_n(terms.row(slot) + first * A, count * A, work.candidates + R * A);
    multiply_candidates(work, R + count, R, std::sqrt(static_cast<double>(keep)));
    rotate_candidates(work, R + count, R, keep, d, V);
  }
}

double product_of(std::int64_t a, std::int64_t b, std::int64_t c) { return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c); }

}  // namespace

void update(const Context& context, const Terms& terms, std::int64_t R, float* covariance) {
  const std::int64_t K = terms.members.present, N = terms.members.begin[K], most = R + std::min(kTermsAtOnce, N + 1);
  Scratch scratch = context.scratch();
  const Workplace work = Workplace::make(scratch, most, terms.A, context.threads());
  parallel_for(context, K, [&](std::int64_t slot, int thread) { update_class(work.of(thread), terms, slot, R, covariance); });
}

void project(const Context& context, const Batch& batch, float* p, float* q) {
  const std::int64_t C = batch.C, A = batch.A, R = batch.R, K = batch.members.present, panels = panels_of(R), tiles = (C + kTileRows - 1) / kTileRows;
  Scratch scratch = context.scratch();
  float* packed_of_threads = scratch.take<float>(context.threads() * panels * A * kTileColumns);
  float* differences = scratch.take<float>(context.threads() * std::int64_t{kTileRows} * A);

  // The classes j of a tile, for one slot.
  const auto project_tile = [&](std::int64_t slot, std::int64_t first, const float* packed, float* D) {
    const std::int64_t c = batch.members.classes[slot];
    const float *w_c = batch.weight + c * A, *d = batch.diagonal(c);
    with_tile_rows(C - first, [&]<int rows>() {
      float* own_q = q + slot * C + first;
      for (int r = 0; r < rows; ++r) {
        const float* w_j = batch.weight + (first + r) * A;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t a = 0; a < A; ++a) {
          const float difference = w_j[a] - w_c[a];
          D[r * A + a] = difference;
          sum += difference * difference * d[a];
        }
        own_q[r] = sum;
      }
      for (std::int64_t panel = 0; panel < panels; ++panel) {
        const std::int64_t column = panel * kTileColumns, count = std::min<std::int64_t>(R - column, kTileColumns);
        TileRow sum[rows];
        multiply_tile<rows>(A, {D, A, 1}, packed + panel * A * kTileColumns, sum);
        for (int r = 0; r < rows; ++r) {
          store_row(p + (slot * C + first + r) * R + column, sum[r], count);
          // NOTE: what a panel has beyond R are zeros.
          own_q[r] += sum_of(sum[r].left * sum[r].left + sum[r].right * sum[r].right);
        }
      }
    });
  };
  // A unit is a slot, or where there are fewer of them than threads a part of its classes j.
  const std::int64_t parts = std::min(tiles, (context.threads() + K - 1) / K), units = K * parts;
  const std::int64_t grain = grain_of(context, units, 2 * product_of(K * C, A, R + 2));
  parallel_for(context, (units + grain - 1) / grain, [&](std::int64_t range, int thread) {
    float* packed = packed_of_threads + thread * panels * A * kTileColumns;
    for (std::int64_t unit = range * grain; unit < std::min(units, (range + 1) * grain); ++unit) {
      const std::int64_t slot = unit / parts, part = unit % parts;
      const Matrix directions{batch.directions(batch.members.classes[slot]), 1, A};
      for (std::int64_t panel = 0; panel < panels; ++panel) pack_panel(directions, A, R, panel * kTileColumns, packed + panel * A * kTileColumns);
      for (std::int64_t tile = part * tiles / parts; tile < (part + 1) * tiles / parts; ++tile)
        project_tile(slot, tile * kTileRows, packed, differences + thread * std::int64_t{kTileRows} * A);
    }
  });
}

void correct(const Context& context, const Batch& batch, const float* p, const std::int32_t* slots, const float* g, float* dweight) {
  constexpr std::int64_t kBlock = 4 * kTileColumns;  // NOTE: columns of dW at a time: for each of them P_c comes by once
  const std::int64_t C = batch.C, A = batch.A, R = batch.R, blocks = (A + kBlock - 1) / kBlock;
  Scratch scratch = context.scratch();
  float* packed = scratch.take<float>(context.threads() * R * kTileColumns);

  // The part of class c, in a panel of columns.
  const auto correct_panel = [&](std::int64_t slot, std::int64_t column, float* panel) {
    const std::int64_t c = batch.members.classes[slot], count = std::min<std::int64_t>(A - column, kTileColumns);
    pack_panel({batch.directions(c), A, 1}, R, A, column, panel);
    const TileRow w_c = load_row(batch.weight + c * A + column, count), d = load_row(batch.diagonal(c) + column, count);
    TileRow own{};
    for (std::int64_t first = 0; first < C; first += kTileRows) {
      with_tile_rows(C - first, [&]<int rows>() {
        TileRow u[rows];
        multiply_tile<rows>(R, {p + (slots[c] * C + first) * R, R, 1}, panel, u);
        for (int r = 0; r < rows; ++r) {
          const std::int64_t j = first + r;
          const float of_j = g[slot * C + j];
          const TileRow w_j = load_row(batch.weight + j * A + column, count);
          const Lanes left = of_j * (u[r].left + (w_j.left - w_c.left) * d.left), right = of_j * (u[r].right + (w_j.right - w_c.right) * d.right);
          float* to = dweight + j * A + column;
          const TileRow dw = load_row(to, count);
          store_row(to, {dw.left + left, dw.right + right}, count);
          own.left += left;
          own.right += right;
        }
      });
    }
    float* to = dweight + c * A + column;
    const TileRow dw = load_row(to, count);
    store_row(to, {dw.left - own.left, dw.right - own.right}, count);
  };
  const std::int64_t grain = grain_of(context, blocks, 2 * product_of(batch.members.present * C, A, R + 2));
  parallel_for(context, (blocks + grain - 1) / grain, [&](std::int64_t range, int thread) {
    const std::int64_t end = std::min(A, (range + 1) * grain * kBlock);
    for (std::int64_t begin = range * grain * kBlock; begin < end; begin += kBlock) {
      for (std::int64_t slot = 0; slot < batch.members.present; ++slot) {
        for (std::int64_t column = begin; column < std::min(end, begin + kBlock); column += kTileColumns)
          correct_panel(slot, column, packed + thread * R * kTileColumns);
      }
    }
  });
}

}  // namespace isda::kernels::low_rank
