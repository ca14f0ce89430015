// SPDX-License-Identifier: Apache-2.0
// That f32 is multiplied in the way that was asked for, told by the digits of one product. How near all of them come to the reference is the cases'
// (operations_test.cpp), which could not tell a way that is too good.
//
//   a = 1 + 3 e, b = 1 + 5 e with e = 2^-13:      in TF32, whose last bit is 8 e, rounded: 1 and 1 + 8 e; what is left of them is 3 e and -3 e
//   a b = 1 + 8 e + 15 e^2                         the last bit of f32 is 8 e^2
//     plain     1 + 8 e + 16 e^2                   rounded once
//     3xtf32    1 + 8 e + 24 e^2                   the product of what is left, -9 e^2, is left out
//     tf32      1 + 8 e                            cut off instead of rounded: 1
#include "kernels/common/f32_products.h"

#include "kernels/conv2d/conv2d.h"
#include "kernels/linear/linear.h"
#include "tests/core/expect_error.h"
#include "tests/kernels/on_card.h"

namespace isda::kernels {
namespace {

constexpr double e = 0x1p-13, kA = 1 + 3 * e, kB = 1 + 5 * e;

double product_by(F32Products products) {
  switch (products) {
    case F32Products::three_tf32: return 1 + 8 * e + 24 * e * e;
    case F32Products::tf32: return 1 + 8 * e;
    case F32Products::plain: return 1 + 8 * e + 16 * e * e;
  }
  return 0;
}

Fill diagonal(std::int64_t columns, double value) {
  return [=](Draw&, std::int64_t i) { return i / columns == i % columns ? value : 0; };
}

// Each element of each result is a b: there is one pixel, and each channel sees only itself.
void add_convolutions(Problem& p, std::int64_t channels, bool has_prologue) {
  const Shape pixel = {1, 1, 1, channels}, weights = {channels, 1, 1, channels};
  const ConstView x = p.input("x", pixel, constant(kA)), weight = p.input("weight", weights, diagonal(channels, kB));
  const ConstView dy = p.input("dy", pixel, constant(kB)), other_weight = p.input("other_weight", weights, diagonal(channels, kA));
  const ConstView one = p.parameter("one", {channels}, constant(1)), zero = p.parameter("zero", {channels}, constant(0));
  const Conv2dPrologue prologue = has_prologue ? Conv2dPrologue{.scale = one, .shift = zero, .relu = true} : Conv2dPrologue{};
  const Conv2dGradientPrologue gradient =
      has_prologue ? Conv2dGradientPrologue{.y = x, .scale = one, .y_scale = zero, .shift = zero} : Conv2dGradientPrologue{};
  p.forward(Conv2d{.x = x, .weight = weight, .y = p.output("y", pixel), .prologue = prologue});
  p.forward(Conv2dBackwardData{.dy = dy, .weight = other_weight, .dx = p.output("dx", pixel), .prologue = gradient});
  p.forward(Conv2dBackwardWeights{.x = x, .dy = dy, .dweight = p.output("dweight", weights), .prologue = prologue, .gradient_prologue = gradient});
}

void add_linear(Problem& p, std::int64_t channels) {
  const Shape sample = {1, channels}, weights = {channels, channels};
  const ConstView x = p.input("x", sample, constant(kA)), weight = p.input("weight", weights, diagonal(channels, kB));
  const ConstView dy = p.input("dy", sample, constant(kB)), other_weight = p.input("other_weight", weights, diagonal(channels, kA));
  p.forward(Linear{.x = x, .weight = weight, .y = p.output("y", sample)});
  p.forward(LinearBackward{.dy = dy, .x = x, .weight = other_weight, .dx = p.output("dx", sample), .dweight = p.output("dweight", weights)});
}

class F32ProductsOnTheCard : public testing::TestWithParam<F32Products> {
 protected:
  void SetUp() override {
    if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  }

  static void expect_products(const std::function<void(Problem&)>& make, std::size_t shift) {
    Problem p(DType::f32, 1, Device::cuda, shift);
    make(p);
    Context context(Device::cuda);
    context.set_f32_products(GetParam());
    p.run(context);
    for (const char* result : {"y", "dx", "dweight"}) {
      const View view = p.array(result).view;
      for (std::int64_t i = 0; i < view.size(); ++i) ASSERT_EQ(view.at_offset(i), product_by(GetParam())) << result << "[" << i << "] of " << p.label();
    }
  }
};

// Every tile (by channels) and every way of loading it.
TEST_P(F32ProductsOnTheCard, HaveTheirDigitsInConvolutions) {
  for (const std::int64_t channels : {1, 16, 32, 64}) {
    for (const bool has_prologue : {false, true}) {
      for (const std::size_t shift : {0, 1}) expect_products([=](Problem& p) { add_convolutions(p, channels, has_prologue); }, shift);
    }
  }
}

TEST_P(F32ProductsOnTheCard, HaveTheirDigitsInLinearLayers) {
  for (const std::int64_t channels : {1, 64}) {
    for (const std::size_t shift : {0, 1}) expect_products([=](Problem& p) { add_linear(p, channels); }, shift);
  }
}

INSTANTIATE_TEST_SUITE_P(All, F32ProductsOnTheCard, testing::ValuesIn(kF32Products), [](const auto& products) { return std::string(name_of(products.param)); });

TEST(F32Products, AreThreeUnlessAskedFor) { EXPECT_EQ(Context(Device::cpu).f32_products(), F32Products::three_tf32); }

TEST(F32Products, HaveNames) {
  for (const F32Products products : kF32Products) EXPECT_EQ(f32_products_of(name_of(products)), products);
  EXPECT_EQ(f32_products_of("3xtf32"), F32Products::three_tf32);
  EXPECT_EQ(f32_products_of("plain"), F32Products::plain);
  expect_error([] { f32_products_of("fp32"); }, "there is no 'fp32', expected 3xtf32, tf32 or plain");
}

}  // namespace
}  // namespace isda::kernels
