// SPDX-License-Identifier: Apache-2.0
// Dropout: what is dropped, the scale of the rest, the gradient, and that the numbers are a function of (seed, layer, step, element).
#include "layers/dropout.h"

#include <gtest/gtest.h>

#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"

namespace isda {
namespace {

Tensor step_number(int step, Device device = Device::reference) { return Tensor::full({1}, step, DType::i32, device); }

// 1 where an element of a tensor of ones was kept.
std::vector<bool> kept(const Tensor& step, const DropoutOptions& options, std::int64_t count = 1000) {
  const Tensor y = dropout(Tensor::full({count}, 1, DType::f64, Device::reference), step, options);
  std::vector<bool> result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(y.view().at(i) != 0);
  return result;
}

TEST(Dropout, KeepsTheShareAskedForAndScalesIt) {
  constexpr std::int64_t kCount = 40'000;
  const Tensor y = dropout(Tensor::full({kCount}, 3, DType::f64, Device::reference), step_number(0), {.probability = 0.25, .seed = 7});
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < kCount; ++i) {
    const double value = y.view().at(i);
    ASSERT_TRUE(value == 0 || std::abs(value - 4) < 1e-6) << value;
    count += value != 0;
  }
  // Five standard errors of a share of 3/4.
  EXPECT_NEAR(static_cast<double>(count) / kCount, 0.75, 5 * std::sqrt(0.75 * 0.25 / kCount));
}

TEST(Dropout, IsAFunctionOfSeedLayerAndStep) {
  const DropoutOptions options{.probability = 0.5, .seed = 1, .layer = 2};
  const auto base = kept(step_number(3), options);
  EXPECT_EQ(base, kept(step_number(3), options));
  EXPECT_NE(base, kept(step_number(4), options));
  EXPECT_NE(base, kept(step_number(3), {.probability = 0.5, .seed = 2, .layer = 2}));
  EXPECT_NE(base, kept(step_number(3), {.probability = 0.5, .seed = 1, .layer = 3}));
}

TEST(Dropout, BackwardDropsWhatForwardDropped) {
  const Tensor x = random_parameter({2, 3, 3, 5}, 1);
  const Tensor step = step_number(5);
  expect_gradients({{"x", x}}, [&] { return dropout(x, step, {.probability = 0.4, .seed = 3}); });
}

TEST(Dropout, CpuDropsTheSameElements) {
  const Tensor x = Tensor::full({777}, 1);
  const Tensor y = dropout(x, step_number(9, Device::cpu), {.probability = 0.5, .seed = 4, .layer = 1});
  const auto expected = kept(step_number(9), {.probability = 0.5, .seed = 4, .layer = 1}, 777);
  for (std::int64_t i = 0; i < 777; ++i) ASSERT_EQ(y.view().at(i) != 0, expected[static_cast<std::size_t>(i)]) << i;
}

TEST(Dropout, TheModuleFollowsTheStepAndRestsInEvaluation) {
  const Tensor step = step_number(0);
  Dropout layer(step, {.probability = 0.5, .seed = 1});
  const Tensor x = random_tensor({1000}, 2);
  const Tensor first = layer(x);
  step.view().set(1, 0);
  const Tensor second = layer(x);
  EXPECT_GT(relative_error(second, first), 0);
  step.view().set(0, 0);
  EXPECT_EQ(relative_error(layer(x), first), 0);
  layer.evaluate();
  EXPECT_EQ(layer(x).view().data(), x.view().data());
  EXPECT_TRUE(layer.parameters().empty() && layer.buffers().empty()) << "weights of other programs have no such names";
}

TEST(Dropout, RefusesAProbabilityOfOne) {
  const Tensor x = random_tensor({4}, 3);
  expect_error([&] { dropout(x, step_number(0), {.probability = 1}); }, "[dropout] probability is 1");
  expect_error([&] { dropout(x, step_number(0), {.probability = -0.5}); }, "[dropout] probability is -0.5");
}

}  // namespace
}  // namespace isda
