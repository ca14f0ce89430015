// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/gemm.h"

#include <algorithm>

#include "kernels/common/parallel.h"

namespace isda {

namespace {

// Panels of b that a block of rows of a meets before the next block does: together they stay in the level-2 cache.
constexpr std::int64_t kPanelsAtOnce = 4;

// Writes `rows` rows of a tile to c, `columns` of them, with the bias added.
template <int rows>
void store_tile(const Lanes (&sum)[rows][2], const float* bias, float* c, std::int64_t c_row, std::int64_t columns) {
  for (int r = 0; r < rows; ++r, c += c_row) {
    if (columns == kTileColumns) {
      store_lanes(c, bias ? sum[r][0] + load_lanes(bias) : sum[r][0]);
      store_lanes(c + kLanes, bias ? sum[r][1] + load_lanes(bias + kLanes) : sum[r][1]);
    } else {
      for (std::int64_t j = 0; j < columns; ++j) c[j] = sum[r][j / kLanes][j % kLanes] + (bias ? bias[j] : 0.0f);
    }
  }
}

}  // namespace

void pack_panel(const Matrix& b, std::int64_t depth, std::int64_t columns, std::int64_t first, float* panel) {
  const std::int64_t count = std::min<std::int64_t>(columns - first, kTileColumns);
  if (count < kTileColumns) std::fill_n(panel, depth * kTileColumns, 0.0f);
  const float* from = b.data + first * b.column;
  if (b.column == 1) {
    for (std::int64_t k = 0; k < depth; ++k) std::copy_n(from + k * b.row, count, panel + k * kTileColumns);
  } else {
    for (std::int64_t j = 0; j < count; ++j) {
      for (std::int64_t k = 0; k < depth; ++k) panel[k * kTileColumns + j] = from[j * b.column + k * b.row];
    }
  }
}

void gemm(const Context& context, const Gemm& product) {
  const auto [M, N, K, a, b, c, bias] = product;
  const std::int64_t panels = panels_of(N), blocks = (M + kTileRows - 1) / kTileRows, groups = (panels + kPanelsAtOnce - 1) / kPanelsAtOnce;
  Scratch scratch = context.scratch();
  float* packed = scratch.take<float>(panels * K * kTileColumns);
  const double flop = 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);

  // Pack b.
  parallel_ranges(context, panels, grain_of(context, panels, flop), [=, K = K, N = N, b = b](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) pack_panel(b, K, N, panel * kTileColumns, packed + panel * K * kTileColumns);
  });

  // Multiply: each unit is one block of rows with one group of panels.
  parallel_ranges(context, groups * blocks, grain_of(context, groups * blocks, flop),
                  [=, M = M, N = N, K = K, a = a, c = c, bias = bias](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t unit = begin; unit < end; ++unit) {
                      const std::int64_t row = unit % blocks * kTileRows, first_panel = unit / blocks * kPanelsAtOnce;
                      with_tile_rows(M - row, [&]<int rows>() {
                        for (std::int64_t panel = first_panel; panel < std::min(first_panel + kPanelsAtOnce, panels); ++panel) {
                          const std::int64_t column = panel * kTileColumns;
                          Lanes sum[rows][2];
                          multiply_tile<rows>(K, {a.data + row * a.row, a.row, a.column}, packed + panel * K * kTileColumns, sum);
                          store_tile<rows>(sum, bias ? bias + column : nullptr, c + row * N + column, N, std::min<std::int64_t>(N - column, kTileColumns));
                        }
                      });
                    }
                  });
}

}  // namespace isda
