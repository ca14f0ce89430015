// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/gemm.h"

#include <algorithm>

#include "kernels/common/parallel.h"

namespace isda {

namespace {

// Panels of b that a block of rows of a meets before the next block does: together they stay in the level-2 cache.
constexpr std::int64_t kPanelsAtOnce = 4;

// The rows of c from `row` on, as many as a tile has, in the columns of some panels.
void multiply_block(const Gemm& product, const float* packed, std::int64_t row, std::int64_t begin_panel, std::int64_t end_panel) {
  const auto& [M, N, K, a, b, c, bias] = product;
  const Matrix rows_of_a{a.data + row * a.row, a.row, a.column};
  with_tile_rows(M - row, [&, N = N, K = K, c = c, bias = bias]<int rows>() {
    for (std::int64_t panel = begin_panel; panel < end_panel; ++panel) {
      const std::int64_t column = panel * kTileColumns, count = std::min<std::int64_t>(N - column, kTileColumns);
      TileRow sum[rows];
      multiply_tile<rows>(K, rows_of_a, packed + panel * K * kTileColumns, sum);
      const TileRow added = bias ? load_row(bias + column, count) : TileRow{};
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) store_row(c + (row + r) * N + column, {sum[r].left + added.left, sum[r].right + added.right}, count);
    }
  });
}

}  // namespace

void pack_panel(const Matrix& b, std::int64_t depth, std::int64_t columns, std::int64_t first, float* panel) {
  const std::int64_t count = std::min<std::int64_t>(columns - first, kTileColumns);
  if (count < kTileColumns) std::fill_n(panel, depth * kTileColumns, 0.0f);
  const float* from = b.data + first * b.column;
  if (b.column == 1 && count == kTileColumns) {
    for (std::int64_t k = 0; k < depth; ++k) store_row(panel + k * kTileColumns, load_row(from + k * b.row));
  } else if (b.column == 1) {
    for (std::int64_t k = 0; k < depth; ++k) copy_some(from + k * b.row, count, panel + k * kTileColumns);
  } else {
    for (std::int64_t j = 0; j < count; ++j) {
      for (std::int64_t k = 0; k < depth; ++k) panel[k * kTileColumns + j] = from[j * b.column + k * b.row];
    }
  }
}

void gemm(const Context& context, const Gemm& product) {
  const std::int64_t panels = panels_of(product.N), panel_size = product.K * kTileColumns;
  const std::int64_t blocks = (product.M + kTileRows - 1) / kTileRows, groups = (panels + kPanelsAtOnce - 1) / kPanelsAtOnce;
  const double flop = 2.0 * static_cast<double>(product.M) * static_cast<double>(product.N) * static_cast<double>(product.K);
  Scratch scratch = context.scratch();
  float* packed = scratch.take<float>(panels * panel_size);

  // Pack b.
  parallel_ranges(context, panels, grain_of(context, panels, flop), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      pack_panel(product.b, product.K, product.N, panel * kTileColumns, packed + panel * panel_size);
    }
  });

  // Multiply: each unit is one block of rows with one group of panels.
  parallel_ranges(context, groups * blocks, grain_of(context, groups * blocks, flop), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t first = unit / blocks * kPanelsAtOnce;
      multiply_block(product, packed, unit % blocks * kTileRows, first, std::min(first + kPanelsAtOnce, panels));
    }
  });
}

}  // namespace isda
