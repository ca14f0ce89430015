// SPDX-License-Identifier: Apache-2.0
// Draws, in what their case cannot see: that their mean and covariance are those asked for, singular ones too; and what is said and done about wrong arguments.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/isda_draw/isda_draw.h"
#include "tests/kernels/isda_head.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

using isda_test::Array, isda_test::kNaN;

struct Draws {
  std::int64_t N, A, M;
  Array features, labels, covariance, ratio, step, drawn, labels_of_drawn;

  Draws(DType type, std::int64_t samples, std::int64_t width, std::int64_t draws)
      : N(samples),
        A(width),
        M(draws),
        features(type, {N, A}),
        labels(DType::i32, {N}),
        covariance(type, {2, A, A}),
        ratio(type, {1}, 0.5),
        step(DType::i32, {1}),
        drawn(type, {N * M, A}, kNaN),
        labels_of_drawn(DType::i32, {N * M}, -7) {}

  IsdaDraw operation() const {
    return {.features = features,
            .labels = labels,
            .covariance = covariance,
            .ratio = ratio,
            .step = step,
            .draws = M,
            .seed = 11,
            .drawn = drawn,
            .labels_of_drawn = labels_of_drawn};
  }
  std::vector<const Array*> arrays() const { return {&features, &labels, &covariance, &ratio, &step, &drawn, &labels_of_drawn}; }
};

class IsdaDrawOn : public testing::TestWithParam<Device> {
 protected:
  Context context{GetParam(), 2};
  DType type() const { return GetParam() == Device::reference ? DType::f64 : DType::f32; }
  void compute(const Draws& draws) const {
    isda_test::compute(context, draws.arrays(), [&] { return draws.operation(); });
  }
};

std::vector<Device> devices() {
  std::vector<Device> result = {Device::reference, Device::cpu};
  if (cuda::card().is_usable) result.push_back(Device::cuda);
  return result;
}
INSTANTIATE_TEST_SUITE_P(Devices, IsdaDrawOn, testing::ValuesIn(devices()), [](const auto& device) { return std::string(name_of(device.param)); });

// S = v v^T + w w^T has rank two of five; that of the other class is zero.
TEST_P(IsdaDrawOn, MeanAndCovarianceAreThoseAskedFor) {
  constexpr std::int64_t kWidth = 5, kDraws = 4000;
  const double v[kWidth] = {1, 2, 0, -1, 0.5}, w[kWidth] = {0, 1, 1, 1, -2};
  const Draws draws(type(), 2, kWidth, kDraws);
  draws.labels.set(1, 1);
  for (std::int64_t a = 0; a < kWidth; ++a) {
    draws.features.set(a, 3 + static_cast<double>(a));
    draws.features.set(kWidth + a, -1);
    for (std::int64_t b = 0; b < kWidth; ++b) draws.covariance.set(a * kWidth + b, v[a] * v[b] + w[a] * w[b]);
  }
  compute(draws);
  const auto at = [&](std::int64_t draw, std::int64_t a) { return draws.drawn[draw * kWidth + a]; };
  for (std::int64_t a = 0; a < kWidth; ++a) {
    double mean = 0;
    for (std::int64_t m = 0; m < kDraws; ++m) mean += at(m, a) / kDraws;
    const double variance = 0.5 * draws.covariance[a * kWidth + a];
    EXPECT_NEAR(mean, 3 + static_cast<double>(a), 4 * std::sqrt(variance / kDraws)) << a;
    for (std::int64_t b = 0; b < kWidth; ++b) {
      double product = 0;
      for (std::int64_t m = 0; m < kDraws; ++m) product += (at(m, a) - 3 - static_cast<double>(a)) * (at(m, b) - 3 - static_cast<double>(b)) / kDraws;
      // The variance of a product of two normal numbers (Isserlis).
      const double S = 0.5 * draws.covariance[a * kWidth + b], other = 0.5 * draws.covariance[b * kWidth + b];
      EXPECT_NEAR(product, S, 4 * std::sqrt((variance * other + S * S) / kDraws)) << a << " " << b;
    }
    for (std::int64_t m = kDraws; m < 2 * kDraws; ++m) ASSERT_EQ(at(m, a), -1) << "of a class without variance";
  }
  // In the plane of v and w and nowhere else, but for what counts as zero.
  const double normal[kWidth] = {2, -1, 1, 0, 0};
  for (std::int64_t m = 0; m < kDraws; ++m) {
    double distance = 0;
    for (std::int64_t a = 0; a < kWidth; ++a) distance += normal[a] * (at(m, a) - 3 - static_cast<double>(a));
    ASSERT_NEAR(distance, 0, 1e-2) << m;
  }
}

TEST_P(IsdaDrawOn, EveryStepDrawsAnewAndTheSameStepTheSame) {
  const Draws draws(type(), 3, 6, 4);
  for (std::int64_t c = 0; c < 2; ++c) {
    for (std::int64_t a = 0; a < 6; ++a) {
      for (std::int64_t b = 0; b < 6; ++b) draws.covariance.set((c * 6 + a) * 6 + b, a == b ? 1 : 0.1);
    }
  }
  const Draws same = draws;
  compute(draws);
  EXPECT_EQ(draws.step[0], 1);
  compute(same);
  EXPECT_EQ(draws.drawn, same.drawn);
  compute(same);
  EXPECT_EQ(same.step[0], 2);
  EXPECT_NE(draws.drawn, same.drawn);
  // No two draws of a batch are alike.
  for (std::int64_t draw = 1; draw < 12; ++draw) EXPECT_NE(draws.drawn.bits(draw * 6, 6), draws.drawn.bits(0, 6)) << draw;
}

TEST_P(IsdaDrawOn, OnTheCardAWrongLabelMakesItsDrawsNaN) {
  if (context.device() != Device::cuda) return;
  const Draws draws(type(), 3, 6, 4);
  draws.labels.set(1, 2);
  compute(draws);
  for (std::int64_t i = 0; i < 3 * 4 * 6; ++i) EXPECT_EQ(std::isnan(draws.drawn[i]), i / 24 == 1) << i;
  EXPECT_EQ(draws.labels_of_drawn[4], 2);
}

TEST(IsdaDraw, NamesWhatIsWrong) {
  const Draws draws(DType::f32, 3, 6, 4);
  const auto message_of = [](const IsdaDraw& operation) -> std::string {
    try {
      run(Context(Device::cpu, 1), operation);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  auto wrong = draws.operation();
  wrong.draws = 0;
  EXPECT_EQ(message_of(wrong), "[isda_draw] draws is 0, expected at least 1");
  wrong = draws.operation();
  wrong.covariance = Array(DType::f32, {2, 6, 5});
  EXPECT_EQ(message_of(wrong), "[isda_draw] covariance is (2,6,5), expected (C,6,6) (full), (C,6) (diagonal) or (C,1+R,6) with 1+R below 6 (low rank)");
  wrong = draws.operation();
  wrong.draws = 5;
  EXPECT_EQ(message_of(wrong), "[isda_draw] drawn is (12,6), expected (15,6): 5 draws of each of 3 samples");
}

}  // namespace
}  // namespace isda::kernels
