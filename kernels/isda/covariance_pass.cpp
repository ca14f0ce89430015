// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda/covariance_pass.h"

#include <algorithm>

#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kStripPanels = 4, kStripColumns = kStripPanels * kTileColumns;
// Rows of S_c that are updated at a time where nothing is multiplied.
constexpr std::int64_t kRowsAtOnce = 48;

// A part of a matrix: rows [row, row + rows) of columns [column, column + columns).
struct Part {
  std::int64_t row, rows, column, columns;
};

// Columns of one strip, the last of which may be narrower.
Part strip_of(std::int64_t strip, std::int64_t A) {
  const std::int64_t column = strip * kStripColumns;
  return {0, A, column, std::min(kStripColumns, A - column)};
}

// Asks for the cache lines of a part of a matrix, some rows at a time.
class Prefetch {
 public:
  Prefetch() = default;
  Prefetch(const float* matrix, std::int64_t A, const Part& part, std::int64_t times)
      : from_(matrix + part.row * A + part.column), A_(A), columns_(part.columns), rows_(part.rows), at_once_((part.rows + times - 1) / times) {}

  void some() {
    constexpr std::int64_t kFloatsALine = 16;
    const std::int64_t end = std::min(row_ + at_once_, rows_);
    for (; row_ < end; ++row_) {
      for (std::int64_t a = 0; a < columns_; a += kFloatsALine) __builtin_prefetch(from_ + row_ * A_ + a, 0, 2);
    }
  }

 private:
  const float* from_ = nullptr;
  std::int64_t A_ = 0, columns_ = 0, rows_ = 0, at_once_ = 0, row_ = 0;
};

// The work of one range of units, with its own temporaries.
class Worker {
 public:
  // memory: room for floats_of(pass) floats.
  Worker(const CovariancePass& pass, float* memory) : pass_(pass), A_(pass.A), width_(width_of(pass.A)) {
    if (pass.u) {
      differences_ = memory;
      strip_ = differences_ + pass.C * width_;
      terms_ = strip_ + A_ * kStripColumns;
    } else {
      terms_ = memory;
    }
  }

  static std::int64_t floats_of(const CovariancePass& pass) {
    // NOTE: for the rank of a batch of one class, whatever the batch at hand is.
    const std::int64_t rank = pass.updated ? pass.terms->most : 0;
    return pass.u ? pass.C * width_of(pass.A) + (pass.A + rank) * kStripColumns : rank * width_of(pass.A);
  }

  // Adds the terms of `slot` to a part of its covariance; packs the part into the strip if it is to be multiplied.
  void update(std::int64_t slot, const Part& part) {
    const std::int64_t rank = pass_.terms->rank(slot);
    const float keep = pass_.terms->kept(slot);
    const float* z = pass_.terms->row(slot);
    if (slot != terms_slot_ || part.column != terms_column_) {
      for (std::int64_t panel = 0; panel < panels_of(part.columns); ++panel) {
        pack_panel({z + part.column, A_, 1}, rank, part.columns, panel * kTileColumns, terms_ + panel * rank * kTileColumns);
      }
      terms_slot_ = slot;
      terms_column_ = part.column;
    }
    float* covariance = pass_.updated + pass_.members.classes[slot] * A_ * A_;
    for (std::int64_t row = part.row; row < part.row + part.rows; row += kTileRows) {
      with_tile_rows(part.row + part.rows - row, [&]<int rows>() {
        for (std::int64_t panel = 0; panel < panels_of(part.columns); ++panel) {
          const std::int64_t column = panel * kTileColumns;
          TileRow sum[rows];
          multiply_tile<rows>(rank, {z + row, 1, A_}, terms_ + panel * rank * kTileColumns, sum);
          float* packed = strip_ ? strip_ + (panel * A_ + row) * kTileColumns : nullptr;
          add_tile<rows>(sum, keep, covariance + row * A_ + part.column + column, std::min<std::int64_t>(part.columns - column, kTileColumns), packed);
        }
      });
    }
  }

  // Packs a strip that is not updated.
  void pack(std::int64_t slot, const Part& part) {
    const float* covariance = pass_.covariance + pass_.members.classes[slot] * A_ * A_;
    for (std::int64_t panel = 0; panel < panels_of(part.columns); ++panel) {
      pack_panel({covariance + part.column, A_, 1}, A_, part.columns, panel * kTileColumns, strip_ + panel * A_ * kTileColumns);
    }
  }

  // The strip's columns of U_c, and its share of Q[c,j].
  void multiply(std::int64_t slot, std::int64_t strip, Prefetch prefetch) {
    const std::int64_t C = pass_.C;
    const Part part = strip_of(strip, A_);
    take_differences(slot);
    float* u = pass_.u + slot * C * A_ + part.column;
    float* q = pass_.q + (slot * strips_of(A_) + strip) * C;
    for (std::int64_t row = 0; row < C; row += kTileRows) {
      prefetch.some();
      with_tile_rows(C - row, [&]<int rows>() {
        const Matrix rows_of_d{differences_ + row * width_, width_, 1};
        Lanes products[rows] = {};
        for (std::int64_t panel = 0; panel < panels_of(part.columns); ++panel) {
          const std::int64_t column = panel * kTileColumns, count = std::min<std::int64_t>(part.columns - column, kTileColumns);
          TileRow sum[rows];
          multiply_tile<rows>(A_, rows_of_d, strip_ + panel * A_ * kTileColumns, sum);
#pragma GCC unroll 8
          for (int r = 0; r < rows; ++r) {
            const TileRow d = load_row(rows_of_d.data + r * width_ + part.column + column);
            products[r] += sum[r].left * d.left + sum[r].right * d.right;
            store_row(u + (row + r) * A_ + column, sum[r], count);
          }
        }
        for (int r = 0; r < rows; ++r) q[row + r] = sum_of(products[r]);
      });
    }
  }

 private:
  // D_c, its rows padded with zeros to whole panels; kept while the slot stays the same.
  void take_differences(std::int64_t slot) {
    if (slot == differences_slot_) return;
    const float* own = pass_.weight + pass_.members.classes[slot] * A_;
    for (std::int64_t j = 0; j < pass_.C; ++j) {
      float* row = differences_ + j * width_;
      for (std::int64_t a = 0; a < A_; ++a) row[a] = pass_.weight[j * A_ + a] - own[a];
      std::fill(row + A_, row + width_, 0.0f);
    }
    differences_slot_ = slot;
  }

  // s <- keep s + sum for a tile of the covariance, of which `count` columns exist; and a copy to `packed`.
  template <int rows>
  void add_tile(const TileRow (&sum)[rows], float keep, float* s, std::int64_t count, float* packed) const {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const TileRow old = load_row(s + r * A_, count);
      const TileRow now{keep * old.left + sum[r].left, keep * old.right + sum[r].right};
      store_row(s + r * A_, now, count);
      if (packed) store_row(packed + r * kTileColumns, now);
    }
  }

  // A rounded up to whole panels.
  static std::int64_t width_of(std::int64_t A) { return panels_of(A) * kTileColumns; }

  const CovariancePass& pass_;
  const std::int64_t A_, width_;
  float* terms_ = nullptr;        // panels of (rank, kTileColumns)
  float* differences_ = nullptr;  // (C,width)
  float* strip_ = nullptr;        // panels of (A, kTileColumns)
  std::int64_t terms_slot_ = -1, terms_column_ = -1, differences_slot_ = -1;
};

double flop_of(const CovariancePass& pass) {
  const std::int64_t K = pass.members.present, N = pass.members.begin[K];
  return 2.0 * static_cast<double>(((pass.updated ? N + K : 0) + (pass.u ? K * pass.C : 0)) * pass.A) * static_cast<double>(pass.A);
}

// Calls body(worker, unit) for the units [0, count), in as many ranges as are worth it.
template <class Body>
void for_units(const Context& context, const CovariancePass& pass, std::int64_t count, Body&& body) {
  const std::int64_t grain = grain_of(context, count, flop_of(pass)), floats = Worker::floats_of(pass);
  Scratch scratch = context.scratch();
  float* memory = scratch.take<float>(context.threads() * floats);
  parallel_ranges(context, count, grain, [&](std::int64_t begin, std::int64_t end) {
    Worker worker(pass, memory + begin / grain * floats);
    for (std::int64_t unit = begin; unit < end; ++unit) body(worker, unit);
  });
}

}  // namespace

std::int64_t strips_of(std::int64_t A) { return (A + kStripColumns - 1) / kStripColumns; }

void run_pass(const Context& context, const CovariancePass& pass) {
  const std::int64_t A = pass.A;
  if (!pass.u) {
    // Update only: whole rows, as they lie in memory.
    const std::int64_t blocks = (A + kRowsAtOnce - 1) / kRowsAtOnce;
    for_units(context, pass, pass.members.present * blocks, [&](Worker& worker, std::int64_t unit) {
      const std::int64_t row = unit % blocks * kRowsAtOnce;
      worker.update(unit / blocks, {row, std::min(kRowsAtOnce, A - row), 0, A});
    });
    return;
  }
  const std::int64_t strips = strips_of(A), units = pass.members.present * strips;
  for_units(context, pass, units, [&](Worker& worker, std::int64_t unit) {
    const std::int64_t slot = unit / strips, strip = unit % strips;
    if (pass.updated)
      worker.update(slot, strip_of(strip, A));
    else
      worker.pack(slot, strip_of(strip, A));
    Prefetch next;
    if (unit + 1 < units) {
      const std::int64_t c = pass.members.classes[(unit + 1) / strips];
      next = Prefetch(pass.covariance + c * A * A, A, strip_of((unit + 1) % strips, A), (pass.C + kTileRows - 1) / kTileRows);
    }
    worker.multiply(slot, strip, next);
  });
}

}  // namespace isda::kernels
