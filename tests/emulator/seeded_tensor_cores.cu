// SPDX-License-Identifier: Apache-2.0
// Bugs of kernels that feed tensor cores: cp.async, ldmatrix and mma.sync, as a product of matrices and a convolution use them.
#include <algorithm>

#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"
#include "kernels/emulator/emulator.h"
#include "tests/emulator/on_card.h"
#include "tests/emulator/seeded_bugs.h"

namespace isda::seeded {

namespace {

enum class Product {
  right,
  barrier_missing_before_product,
  barrier_missing_before_next_copy,
  async_wait_one_group_late,
  sums_not_initialised,
  fragment_lanes_permuted,
  row_guard_missing_in_store,
  rows_without_padding
};

// C (rows x 8) = A (rows x depth) B^T, B being (8 x depth); two warps of 16 rows each, 16 of depth a step, two steps under way.
constexpr unsigned kRows = 32, kColumns = 8, kStep = 16, kStages = 2;

template <Product bug>
__global__ void product_kernel(float* c, const __nv_bfloat16* a, const __nv_bfloat16* b, unsigned rows, unsigned depth) {
  // NOTE: rows of 48 bytes: the eight that ldmatrix reads at once lie in eight different groups of banks.
  constexpr unsigned stride = bug == Product::rows_without_padding ? kStep : kStep + 8;
  SharedCarver carver;
  auto* a_tile = carver.take<__nv_bfloat16>(kStages * kRows * stride);
  auto* b_tile = carver.take<__nv_bfloat16>(kStages * kColumns * stride);
  const unsigned thread = threadIdx.x, lane = thread % kWarp, first_row = thread / kWarp * 16;

  const auto copy = [&](unsigned step) {
    // Each thread brings 8 elements of A, some of them 8 of B.
    const unsigned stage = step % kStages, row = thread / 2, first = thread % 2 * 8;
    const bool is_valid = row < rows;
    ptx::cp_async<16>(a_tile + (stage * kRows + row) * stride + first, is_valid ? a + row * depth + step * kStep + first : a, is_valid);
    if (row < kColumns) ptx::cp_async<16>(b_tile + (stage * kColumns + row) * stride + first, b + row * depth + step * kStep + first, true);
  };

  float sums[4];
  if constexpr (bug != Product::sums_not_initialised) std::fill(sums, sums + 4, 0.0f);
  const unsigned steps = depth / kStep;
  copy(0);
  ptx::cp_async_commit();
  for (unsigned step = 0; step < steps; ++step) {
    if (step + 1 < steps) copy(step + 1);  // BUG: barrier_missing_before_next_copy
    ptx::cp_async_commit();
    ptx::cp_async_wait<bug == Product::async_wait_one_group_late ? 2 : 1>();
    if constexpr (bug != Product::barrier_missing_before_product) __syncthreads();
    const unsigned stage = step % kStages;
    std::uint32_t a_words[4], b_words[2];
    const auto* a_row = a_tile + (stage * kRows + first_row + lane % 16) * stride + lane / 16 * 8;
    ptx::ldmatrix_x4(a_words, a_row);                                                             // BUG: rows_without_padding async_wait_one_group_late
    const unsigned column = bug == Product::fragment_lanes_permuted ? lane % 8 ^ 1 : lane % 8;    // BUG: fragment_lanes_permuted
    ptx::ldmatrix_x2(b_words, b_tile + (stage * kColumns + column) * stride + lane / 8 % 2 * 8);  // BUG: barrier_missing_before_product
    ptx::mma_m16n8k16_bf16(sums, a_words, b_words);
    if constexpr (bug != Product::barrier_missing_before_next_copy) __syncthreads();
  }
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = first_row + lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    if (bug == Product::row_guard_missing_in_store || row < rows) c[row * kColumns + column] = sums[i];  // BUG: row_guard_missing_in_store sums_not_initialised
  }
}

// ---- the window of a 3 x 3 convolution, all weights 1: one thread a pixel of 8 channels ----

constexpr int kHeight = 4, kWidth = 4, kChannels = 8;

template <bool is_right>
__global__ void window_kernel(float* y, const __nv_bfloat16* x) {
  SIMT_SHARED(tile, __nv_bfloat16[kHeight * kWidth][kChannels]);
  const int thread = static_cast<int>(threadIdx.x), row = thread / kWidth, column = thread % kWidth;
  float sums[kChannels] = {};
  for (int r = -1; r <= 1; ++r) {
    for (int s = -1; s <= 1; ++s) {
      const int h = row + r, w = column + s;
      const bool is_inside = h >= (is_right ? 0 : -1) && h < kHeight && w >= 0 && w < kWidth;
      ptx::cp_async<16>(tile[thread], is_inside ? x + (h * kWidth + w) * kChannels : x, is_inside);  // BUG: padding_test_wrong
      ptx::cp_async_commit();
      ptx::cp_async_wait<0>();
      float values[kChannels];
      load_packed(tile[thread], values);
      for (int channel = 0; channel < kChannels; ++channel) sums[channel] += values[channel];
    }
  }
  for (int channel = 0; channel < kChannels; ++channel) y[thread * kChannels + channel] = sums[channel];
}

// ---- cp.async by itself ----

enum class Copy { right, read_before_wait, not_committed, barrier_missing, source_misaligned, destination_outside };

template <Copy bug>
__global__ void reversed_kernel(float* y, const float* x) {
  SIMT_SHARED(tile, float[64]);
  const unsigned shift = bug == Copy::source_misaligned ? 1 : 0, beyond = bug == Copy::destination_outside ? 4 : 0;
  float early = 0;
  if (threadIdx.x < 16) {
    ptx::cp_async<16>(tile + 4 * threadIdx.x + beyond, x + 4 * threadIdx.x + shift, true);  // BUG: async_source_misaligned async_destination_outside
    if (bug != Copy::not_committed) ptx::cp_async_commit();
    if (bug == Copy::read_before_wait) early = 0 * tile[4 * threadIdx.x];  // BUG: read_before_async_wait
    ptx::cp_async_wait<0>();
  }
  if (bug != Copy::barrier_missing) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x] + early;  // BUG: barrier_missing_behind_async_copy async_copy_not_committed
}

}  // namespace

namespace host {
namespace {

std::vector<bf16> rounded(const std::vector<float>& values) {
  std::vector<bf16> result;
  for (const float value : values) result.emplace_back(value);
  return result;
}
const __nv_bfloat16* on_card(const OnCard<bf16>& array) { return reinterpret_cast<const __nv_bfloat16*>(static_cast<const bf16*>(array)); }

template <Product bug>
std::string product(bool is_right) {
  constexpr unsigned kRaggedRows = 25, kDepth = 64;
  const std::vector<float> a = numbers(kRaggedRows * kDepth), b = numbers(kColumns * kDepth);
  std::vector<float> expected(kRaggedRows * kColumns);
  for (std::size_t row = 0; row < kRaggedRows; ++row) {
    for (std::size_t column = 0; column < kColumns; ++column) {
      for (std::size_t k = 0; k < kDepth; ++k) expected[row * kColumns + column] += a[row * kDepth + k] * b[column * kDepth + k];
    }
  }
  const Context context(Device::cuda);
  const OnCard<float> c(expected.size());
  const OnCard<bf16> a_on_card(rounded(a)), b_on_card(rounded(b));
  const std::size_t shared_bytes = kStages * (kRows + kColumns) * (kStep + 8) * sizeof(bf16);
  emulator::reset_counters();
  launch(context, {.name = "product", .grid = 1, .block = 2 * kWarp, .shared_bytes = shared_bytes},
         is_right ? product_kernel<Product::right> : product_kernel<bug>, c, on_card(a_on_card), on_card(b_on_card), kRaggedRows, kDepth);
  context.synchronise();
  if (std::string wrong = difference(c.read(), expected); !wrong.empty()) return wrong;
  // Nothing is wrong where rows share banks: it is slow.
  const emulator::Counters counters = emulator::counters().at("product");
  if (counters.ldmatrix_conflicts == 0) return {};
  return fmt::format("bank conflicts: {} in {} reads of ldmatrix", counters.ldmatrix_conflicts, counters.ldmatrix_reads);
}

std::string padding_test_wrong(bool is_right) {
  const std::vector<float> from = numbers(kHeight * kWidth * kChannels);
  std::vector<float> expected(from.size());
  for (int h = 0; h < kHeight; ++h) {
    for (int w = 0; w < kWidth; ++w) {
      for (int i = 0; i < 9; ++i) {
        const int row = h + i / 3 - 1, column = w + i % 3 - 1;
        if (row < 0 || row >= kHeight || column < 0 || column >= kWidth) continue;
        for (int channel = 0; channel < kChannels; ++channel) {
          expected[static_cast<std::size_t>((h * kWidth + w) * kChannels + channel)] +=
              from[static_cast<std::size_t>((row * kWidth + column) * kChannels + channel)];
        }
      }
    }
  }
  const Context context(Device::cuda);
  const OnCard<float> y(expected.size());
  const OnCard<bf16> x(rounded(from));
  launch(context, {.name = "window", .grid = 1, .block = kHeight * kWidth}, is_right ? window_kernel<true> : window_kernel<false>, y, on_card(x));
  context.synchronise();
  return difference(y.read(), expected);
}

template <Copy bug>
std::string reversed(bool is_right) {
  const std::vector<float> from = numbers(64);
  const Context context(Device::cuda);
  const OnCard<float> y(64), x(from);
  launch(context, {.name = "reversed", .grid = 1, .block = 64}, is_right ? reversed_kernel<Copy::right> : reversed_kernel<bug>, y, x);
  context.synchronise();
  return difference(y.read(), {from.rbegin(), from.rend()});
}

}  // namespace
}  // namespace host

std::vector<Bug> tensor_core_bugs() {
  return {{"barrier_missing_before_product", host::product<Product::barrier_missing_before_product>},
          {"barrier_missing_before_next_copy", host::product<Product::barrier_missing_before_next_copy>},
          {"async_wait_one_group_late", host::product<Product::async_wait_one_group_late>},
          {"sums_not_initialised", host::product<Product::sums_not_initialised>},
          {"fragment_lanes_permuted", host::product<Product::fragment_lanes_permuted>},
          {"row_guard_missing_in_store", host::product<Product::row_guard_missing_in_store>},
          {"rows_without_padding", host::product<Product::rows_without_padding>},
          {"padding_test_wrong", host::padding_test_wrong},
          {"read_before_async_wait", host::reversed<Copy::read_before_wait>},
          {"async_copy_not_committed", host::reversed<Copy::not_committed>},
          {"barrier_missing_behind_async_copy", host::reversed<Copy::barrier_missing>},
          {"async_source_misaligned", host::reversed<Copy::source_misaligned>},
          {"async_destination_outside", host::reversed<Copy::destination_outside>}};
}

}  // namespace isda::seeded
