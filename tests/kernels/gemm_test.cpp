// SPDX-License-Identifier: Apache-2.0
// The product against three loops, over every remainder of tile and panel, every layout, and any number of threads; and what the linear
// layer, which is made of it, says about wrong arguments.
#include "kernels/common/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/linear/linear.h"

namespace isda {
namespace {

std::vector<float> normal(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = distribution(random);
  return values;
}

// c = a b + bias by gemm, with as many guard elements before and behind c that must stay.
std::vector<float> product(const Gemm& shape, int threads) {
  constexpr std::size_t kGuard = 16;
  std::vector<float> c(static_cast<std::size_t>(shape.M * shape.N) + 2 * kGuard, std::numeric_limits<float>::quiet_NaN());
  std::fill_n(c.begin(), kGuard, -7.0f);
  std::fill(c.end() - kGuard, c.end(), -7.0f);
  Gemm filled = shape;
  filled.c = c.data() + kGuard;
  gemm(Context(Device::cpu, threads), filled);
  for (std::size_t i = 0; i < kGuard; ++i) {
    EXPECT_EQ(c[i], -7.0f) << "before c";
    EXPECT_EQ(c[c.size() - 1 - i], -7.0f) << "behind c";
  }
  return {c.begin() + kGuard, c.end() - kGuard};
}

TEST(Gemm, IsTheSumOverK) {
  for (const std::int64_t M : {1, 2, 3, 4, 5, 6, 7, 13, 25}) {
    for (const std::int64_t N : {1, 3, 15, 16, 17, 33, 70, 130}) {
      for (const std::int64_t K : {1, 2, 19}) {
        const auto a = normal(M * K, 1), b = normal(K * N, 2), bias = normal(N, 3);
        for (const bool is_a_transposed : {false, true}) {
          for (const bool is_b_transposed : {false, true}) {
            const Matrix A = is_a_transposed ? Matrix{a.data(), M, 1}.transposed() : Matrix{a.data(), K, 1};
            const Matrix B = is_b_transposed ? Matrix{b.data(), K, 1}.transposed() : Matrix{b.data(), N, 1};
            const bool has_bias = (M + N) % 2 == 0;
            const auto c = product({.M = M, .N = N, .K = K, .a = A, .b = B, .c = nullptr, .bias = has_bias ? bias.data() : nullptr}, 2);
            for (std::int64_t i = 0; i < M; ++i) {
              for (std::int64_t j = 0; j < N; ++j) {
                double sum = has_bias ? bias[static_cast<std::size_t>(j)] : 0;
                for (std::int64_t k = 0; k < K; ++k) sum += static_cast<double>(A.data[i * A.row + k * A.column]) * B.data[k * B.row + j * B.column];
                ASSERT_NEAR(c[static_cast<std::size_t>(i * N + j)], sum, 2e-5) << M << " " << N << " " << K << " at " << i << " " << j;
              }
            }
          }
        }
      }
    }
  }
}

TEST(Gemm, HasTheSameBitsWithAnyNumberOfThreads) {
  // Large enough to be shared out.
  const std::int64_t M = 70, N = 150, K = 64;
  const auto a = normal(M * K, 1), b = normal(K * N, 2);
  const Gemm shape{.M = M, .N = N, .K = K, .a = {a.data(), K, 1}, .b = {b.data(), N, 1}, .c = nullptr};
  const auto one = product(shape, 1);
  for (const int threads : {2, 3, 5}) {
    const auto many = product(shape, threads);
    EXPECT_EQ(std::memcmp(one.data(), many.data(), one.size() * sizeof(float)), 0) << threads;
  }
}

TEST(Gemm, KeepsANaNInItsRow) {
  const std::int64_t M = 9, N = 20, K = 8;
  auto a = normal(M * K, 1);
  const auto b = normal(K * N, 2);
  a[4 * 8 + 3] = std::numeric_limits<float>::quiet_NaN();
  const auto c = product({.M = M, .N = N, .K = K, .a = {a.data(), K, 1}, .b = {b.data(), N, 1}, .c = nullptr}, 1);
  for (std::int64_t i = 0; i < M; ++i) {
    for (std::int64_t j = 0; j < N; ++j) EXPECT_EQ(std::isnan(c[static_cast<std::size_t>(i * N + j)]), i == 4) << i << " " << j;
  }
}

}  // namespace

namespace kernels {
namespace {

template <class Operation>
std::string message_of(const Operation& operation) {
  try {
    run(Context(Device::cpu, 1), operation);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Linear, NamesWhatIsWrong) {
  std::vector<float> memory(64);
  const auto view = [&](const Shape& shape, DType type = DType::f32) { return View(memory.data(), type, shape); };
  Linear linear{.x = view({2, 5}), .weight = view({3, 5}), .bias = view({3}), .y = view({2, 3})};
  EXPECT_EQ(message_of(linear), "no error");
  linear.y = view({3, 2});
  EXPECT_EQ(message_of(linear), "[linear] y is (3,2), expected (2,3): (N,C) of x (2,5) and weight (3,5)");
  linear.weight = view({3, 4});
  EXPECT_EQ(message_of(linear), "[linear] weight is (3,4), expected (C,5): (C,A) with A of x (2,5)");
  linear.x = view({10});
  EXPECT_EQ(message_of(linear), "[linear] x is (10), expected 2 extents: (N,A)");

  LinearBackward backward{.dy = view({2, 3}), .x = view({2, 5}), .weight = view({3, 5}), .dx = view({2, 5}), .dweight = view({3, 5}), .dbias = view({3})};
  EXPECT_EQ(message_of(backward), "no error");
  backward.dbias = view({2});
  EXPECT_EQ(message_of(backward), "[linear_backward] dbias is (2), expected (3): (C) of weight (3,5)");
  backward.dy = view({2, 3}, DType::i32);
  EXPECT_EQ(message_of(backward), "[linear_backward] dy is i32, expected f32");
}

TEST(Linear, ComputesOnlyTheGradientsAskedFor) {
  std::vector<float> dy(6, 1), x(10, 2), weight(15, 3), dx(10, 9), dweight(15, 9), dbias(3, 9);
  const LinearBackward all{.dy = ConstView(dy.data(), DType::f32, {2, 3}),
                           .x = ConstView(x.data(), DType::f32, {2, 5}),
                           .weight = ConstView(weight.data(), DType::f32, {3, 5}),
                           .dx = View(dx.data(), DType::f32, {2, 5}),
                           .dweight = View(dweight.data(), DType::f32, {3, 5}),
                           .dbias = View(dbias.data(), DType::f32, {3})};
  for (const Device device : {Device::reference, Device::cpu}) {
    for (int asked = 0; asked < 3; ++asked) {
      LinearBackward one = all;
      if (asked != 0) one.dx = View();
      if (asked != 1) one.dweight = View();
      if (asked != 2) one.dbias = View();
      std::fill(dx.begin(), dx.end(), 8.0f);
      std::fill(dweight.begin(), dweight.end(), 9.0f);
      std::fill(dbias.begin(), dbias.end(), 8.0f);
      run(Context(device, 1), one);
      EXPECT_EQ(dx[7], asked == 0 ? 9.0f : 8.0f);
      EXPECT_EQ(dweight[7], asked == 1 ? 4.0f : 9.0f);
      EXPECT_EQ(dbias[2], asked == 2 ? 2.0f : 8.0f);
    }
  }
}

}  // namespace
}  // namespace kernels
}  // namespace isda
