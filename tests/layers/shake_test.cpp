// SPDX-License-Identifier: Apache-2.0
// Shaken branches as a layer: gradients, the draws of each way, evaluation; and the two flows of a Shake-Shake shortcut.
#include "layers/shake.h"

#include <gtest/gtest.h>

#include "kernels/shake/shake.h"
#include "layers/two_flows.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"

namespace isda {
namespace {

const Shape kBranch{3, 2, 3, 5};

Tensor step_number(int step, Device device = Device::reference) { return Tensor::full({1}, step, DType::i32, device); }

// What backward() leaves at a leaf whose output's gradient is `dy`.
Tensor times_image(const Tensor& dy, const std::function<float(std::uint64_t)>& factor) {
  const Tensor result = Tensor::like(dy);
  const std::int64_t image = dy.size() / dy.extent(0);
  for (std::int64_t i = 0; i < dy.size(); ++i)
    result.view().set_offset(static_cast<double>(factor(static_cast<std::uint64_t>(i / image))) * dy.view().at_offset(i), i);
  return result;
}

TEST(Shake, GradientsOfTheExpectations) {
  const Tensor shortcut = random_parameter(kBranch, 1), narrow = random_parameter({3, 2, 3, 3}, 2), a = random_parameter(kBranch, 3),
               b = random_parameter(kBranch, 4);
  expect_gradients({{"shortcut", shortcut}, {"a", a}, {"b", b}}, [&] { return shake(shortcut, a, b, {}, {.is_shaken = false}); });
  expect_gradients({{"shortcut", narrow}, {"a", a}}, [&] { return shake(narrow, a, {}, {}, {.survival = 0.6, .is_shaken = false}); });
  expect_gradients({{"shortcut", narrow}, {"a", a}}, [&] { return shake(narrow, a, {}, {}, {}); });
}

// The sum of y times fixed numbers has these as gradient of y; what reaches the branches are they times the factors of the way back.
TEST(Shake, TheWayBackHasItsOwnFactors) {
  for (const bool has_two : {true, false}) {
    const Tensor shortcut = random_parameter(kBranch, 1), a = random_parameter(kBranch, 2), b = has_two ? random_parameter(kBranch, 3) : Tensor();
    const ShakeOptions options{.survival = 0.3, .seed = 9, .layer = 4};
    const kernels::ShakeRule rule{.survival = 0.3f, .seed = 9, .layer = 4};
    const auto factors = [&](kernels::ShakePass pass, std::uint64_t image) { return kernels::shake_factors(rule, has_two, pass, 6, image); };
    constexpr auto forward = kernels::ShakePass::forward;
    const Tensor y = shake(shortcut, a, b, step_number(6), options);
    const Tensor of_a = times_image(a, [&](std::uint64_t n) { return factors(forward, n).a; });
    const Tensor of_b =
        has_two ? times_image(b, [&](std::uint64_t n) { return factors(forward, n).b; }) : Tensor::zeros(kBranch, DType::f64, Device::reference);
    for (std::int64_t i = 0; i < y.size(); ++i)
      ASSERT_NEAR(y.view().at_offset(i), shortcut.view().at_offset(i) + of_a.view().at_offset(i) + of_b.view().at_offset(i), 1e-14) << i;

    backward(weighted_sum(y));
    const Tensor dy = random_tensor(kBranch, 999);
    expect_close(gradient_of(shortcut), dy, 1e-15, "shortcut");
    expect_close(gradient_of(a), times_image(dy, [&](std::uint64_t n) { return factors(kernels::ShakePass::backward, n).a; }), 1e-15, "a");
    if (has_two) expect_close(gradient_of(b), times_image(dy, [&](std::uint64_t n) { return factors(kernels::ShakePass::backward, n).b; }), 1e-15, "b");
    EXPECT_GT(relative_error(gradient_of(a), times_image(dy, [&](std::uint64_t n) { return factors(forward, n).a; })), 0.01);
  }
}

TEST(Shake, TheModuleFollowsTheStepAndRestsInEvaluation) {
  const Tensor step = step_number(0), shortcut = random_tensor(kBranch, 1), a = random_tensor(kBranch, 2), b = random_tensor(kBranch, 3);
  Shake layer(step, {.survival = 0.5, .seed = 1});
  const Tensor first = layer(shortcut, a, b), first_of_one = layer(shortcut, a);
  step.view().set(1, 0);
  EXPECT_GT(relative_error(layer(shortcut, a, b), first), 0);
  EXPECT_GT(relative_error(layer(shortcut, a), first_of_one), 0);
  step.view().set(0, 0);
  EXPECT_EQ(relative_error(layer(shortcut, a, b), first), 0);
  layer.evaluate();
  expect_close(layer(shortcut, a, b), shake(shortcut, a, b, {}, {.is_shaken = false}), 0, "two branches");
  expect_close(layer(shortcut, a), shake(shortcut, a, {}, {}, {.survival = 0.5, .is_shaken = false}), 0, "one branch");
  EXPECT_TRUE(layer.parameters().empty() && layer.buffers().empty()) << "weights of other programs have no such names";
}

TEST(TwoFlows, TakesAPixelAndTheOneBeforeItOnTheDiagonal) {
  const Tensor x = random_tensor({2, 5, 4, 3}, 1), y = two_flows(x, 2);
  ASSERT_EQ(y.shape(), (Shape{2, 3, 2, 6}));
  for (std::int64_t c = 0; c < 3; ++c) {
    EXPECT_EQ(y.view().at(1, 2, 1, c), x.view().at(1, 4, 2, c));
    EXPECT_EQ(y.view().at(1, 2, 1, 3 + c), x.view().at(1, 3, 1, c));
    EXPECT_EQ(y.view().at(1, 0, 1, 3 + c), 0) << "above the first row";
    EXPECT_EQ(y.view().at(1, 2, 0, 3 + c), 0) << "left of the first column";
  }
}

TEST(TwoFlows, Gradients) {
  const Tensor x = random_parameter({2, 5, 4, 3}, 1);
  for (const int stride : {1, 2}) expect_gradients({{"x", x}}, [&] { return two_flows(x, stride); });
  expect_error([&] { two_flows(x, 0); }, "[two_flows] stride is 0, expected 1 or more");
}

}  // namespace
}  // namespace isda
