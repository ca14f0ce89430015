// SPDX-License-Identifier: Apache-2.0
// The stand-ins for CUB and cuBLAS on the emulated card.
#include "tests/emulator/libraries.h"

#include <cublas_v2.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/emulator/on_card.h"
#include "tests/kernels/emulated_orders.h"

namespace isda {
namespace {

TEST(Cub, ReducesAndScans) {
  for_each_order([](const std::string& order) {
    SCOPED_TRACE(order);
    const Context context(Device::cuda);
    constexpr int kBlocks = 3, kCount = kBlocks * libraries::kThreads;
    std::vector<int> x(kCount);
    for (int i = 0; i < kCount; ++i) x[static_cast<std::size_t>(i)] = i * 37 % 101 - 50;
    const OnCard<int> input(x), totals(kBlocks), largest(kBlocks), before(kCount), warps(kCount / 32);
    libraries::reduce_and_scan(context, input, kBlocks, totals, largest, before, warps);
    context.synchronise();
    for (int block = 0; block < kBlocks; ++block) {
      const auto begin = x.begin() + block * libraries::kThreads, end = begin + libraries::kThreads;
      const auto at = static_cast<std::size_t>(block);
      EXPECT_EQ(totals.read()[at], std::accumulate(begin, end, 0));
      EXPECT_EQ(largest.read()[at], *std::max_element(begin, end));
      std::vector<int> sums(libraries::kThreads);
      std::exclusive_scan(begin, end, sums.begin(), 0);
      const auto found = before.read();
      EXPECT_TRUE(std::equal(sums.begin(), sums.end(), found.begin() + block * libraries::kThreads));
    }
    for (int warp = 0; warp < kCount / 32; ++warp) {
      EXPECT_EQ(warps.read()[static_cast<std::size_t>(warp)], std::accumulate(x.begin() + warp * 32, x.begin() + warp * 32 + 32, 0));
    }
  });
}

TEST(Cublas, MultipliesColumnMajor) {
  const Context context(Device::cuda);
  cublasHandle_t handle = nullptr;
  ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  cublasSetStream(handle, context.stream());
  // a (2,3), b (3,2), column by column.
  const OnCard<float> a(std::vector<float>{1, 4, 2, 5, 3, 6}), b(std::vector<float>{7, 9, 11, 8, 10, 12}), c(std::vector<float>{1, 1, 1, 1});
  const float alpha = 2, beta = 10;
  EXPECT_EQ(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 3, &alpha, a, 2, b, 3, &beta, c, 2), CUBLAS_STATUS_SUCCESS);
  context.synchronise();
  EXPECT_EQ(c.read(), (std::vector<float>{126, 288, 138, 318}));
  // a transposed (3,2) times b transposed (2,3); the poison in the result does not get through beta 0.
  const OnCard<float> outer(9);
  const float one = 1, none = 0;
  EXPECT_EQ(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_T, 3, 3, 2, &one, a, 2, b, 3, &none, outer, 3), CUBLAS_STATUS_SUCCESS);
  context.synchronise();
  EXPECT_EQ(outer.read(), (std::vector<float>{1 * 7 + 4 * 8, 2 * 7 + 5 * 8, 3 * 7 + 6 * 8, 1 * 9 + 4 * 10, 2 * 9 + 5 * 10, 3 * 9 + 6 * 10, 1 * 11 + 4 * 12,
                                              2 * 11 + 5 * 12, 3 * 11 + 6 * 12}));
  // A leading extent that is too small.
  EXPECT_EQ(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 3, &one, a, 1, b, 3, &none, c, 2), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace isda
