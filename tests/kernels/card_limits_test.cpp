// SPDX-License-Identifier: Apache-2.0
// What is larger than the kernels of a card can count is refused by the operation, before anything is read; and what is just as large is found.
// The arrays are views over no memory.
#include <gtest/gtest.h>

#include "kernels/common/check.h"
#include "kernels/conv2d/card_limits.h"
#include "kernels/linear/linear.h"
#include "tests/core/expect_error.h"

#if defined(ISDA_EMULATED)
#include "kernels/conv2d/implicit_gemm.cuh"
#endif

namespace isda::kernels {
namespace {

constexpr std::int64_t kPixels = std::int64_t{1} << 16;  // pixels of one image in most of these

View nowhere(const Shape& shape) { return View(reinterpret_cast<void*>(std::uintptr_t{1} << 20), DType::f32, shape); }

// The arrays of a convolution.
struct Sizes {
  std::int64_t N = 1, H = 1, W = kPixels, C = 4, K = 4, R = 1, S = 1;
  int stride = 1, padding = 0, groups = 1;

  View x() const { return nowhere({N, H, W, C}); }
  View weight() const { return nowhere({K, R, S, C / groups}); }
  View y() const { return nowhere({N, (H + 2 * std::int64_t{padding} - R) / stride + 1, (W + 2 * std::int64_t{padding} - S) / stride + 1, K}); }
  Conv2d forward() const { return {.x = x(), .weight = weight(), .y = y(), .stride = stride, .padding = padding, .groups = groups}; }
  Conv2dBackwardData backward_data() const { return {.dy = y(), .weight = weight(), .dx = x(), .stride = stride, .padding = padding, .groups = groups}; }
  Conv2dBackwardWeights backward_weights() const { return {.x = x(), .dy = y(), .dweight = weight(), .stride = stride, .padding = padding, .groups = groups}; }
};

// The largest N of images of kPixels pixels.
constexpr std::int64_t kMostImages = kMostCounted / kPixels;

template <class Operation>
void expect_refused(const Operation& operation, const std::string& message) {
  expect_error([&] { run(Context(Device::cuda), operation); }, message);
}

class CardLimits : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  }
};

TEST_F(CardLimits, PixelsAreCountedIn32Bits) {
  const Sizes sizes{.N = kMostImages + 1};
  expect_refused(sizes.forward(),
                 "[conv2d] N*H*W of x (32768,1,65536,4) is 2147483648, and the kernels of a card take at most 2147483520; use smaller batches");
  expect_refused(sizes.backward_data(), "[conv2d_backward_data] N*H*W of dx (32768,1,65536,4) is 2147483648");
  expect_refused(sizes.backward_weights(), "[conv2d_backward_weights] N*H*W of x (32768,1,65536,4) is 2147483648");
  // What padding adds: 3 rows of 65538 pixels.
  const Sizes padded{.N = kMostImages / 2, .padding = 1};
  expect_refused(padded.forward(), "[conv2d] N*P*Q of y (16383,3,65538,4) is 3221127162");
  expect_refused(padded.backward_data(), "[conv2d_backward_data] N*P*Q of dy");
  expect_refused(padded.backward_weights(), "[conv2d_backward_weights] N*P*Q of dy");
  // What a stride that is wider than the image adds.
  expect_refused(Sizes{.N = 2 * kMostImages, .W = 5, .stride = 255}.backward_data(),
                 "[conv2d_backward_data] N*H*W, with H and W rounded up to multiples of the stride");
}

TEST_F(CardLimits, SoAreChannelsRowsAndDepths) {
  constexpr std::int64_t kMany = kMostCounted + 4;
  EXPECT_EQ(kMany % 4, 0);
  expect_refused(Sizes{.W = 1, .C = kMany, .groups = 4}.forward(), "[conv2d] C of x (1,1,1,2147483524) is 2147483524");
  expect_refused(Sizes{.W = 1, .K = kMany, .groups = 4}.forward(), "[conv2d] K of y (1,1,1,2147483524) is 2147483524");
  expect_refused(Sizes{.W = 3, .C = kMany / 4, .S = 5, .padding = 1}.forward(), "[conv2d] R*S*C/groups of weight (4,1,5,536870881) is 2684354405");
  expect_refused(Sizes{.W = 3, .K = kMany / 4, .S = 5, .padding = 1}.backward_data(), "R*S*K/groups of weight (536870881,1,5,4) is 2684354405");
  expect_refused(Sizes{.W = 1, .stride = 1 << 30, .padding = 1 << 30}.forward(), "H, with padding on both sides, of x (1,1,1,4) is 2147483649");
}

TEST_F(CardLimits, SoAreGrids) {
  expect_refused(Sizes{.W = 1, .C = 65536, .K = 65536, .groups = 65536}.forward(), "the number of groups of weight (65536,1,1,1) is 65536");
  expect_refused(Sizes{.stride = 256}.backward_data(),
                 "[conv2d_backward_data] the stride of dx (1,1,65536,4) is 256, and the kernels of a card take at most 255");
  const Sizes wide{.N = kMostImages, .K = 4160};
  expect_refused(wide.forward(), "[conv2d] the number of tiles of a group of y (32767,1,65536,4160) is 2180971520");
}

// What is as large as may be passes: nothing here runs it.
TEST_F(CardLimits, ArePrecise) {
  for (const Sizes& sizes : {Sizes{.N = kMostImages}, Sizes{.W = kMostCounted}, Sizes{.W = 1, .C = kMostCounted}, Sizes{.W = 1, .K = kMostCounted},
                             Sizes{.W = 1, .C = 65535, .K = 65535, .groups = 65535}, Sizes{.W = 3, .stride = 255}}) {
    EXPECT_NO_THROW(conv2d::check_card_limits(sizes.forward()));
    EXPECT_NO_THROW(conv2d::check_card_limits(sizes.backward_data()));
    EXPECT_NO_THROW(conv2d::check_card_limits(sizes.backward_weights()));
  }
}

TEST_F(CardLimits, OfTheLinearLayer) {
  const auto linear = [](std::int64_t N, std::int64_t A, std::int64_t C) {
    return Linear{.x = nowhere({N, A}), .weight = nowhere({C, A}), .y = nowhere({N, C})};
  };
  expect_refused(linear(kMostCounted + 1, 1, 1), "[linear] N of x (2147483521,1) is 2147483521, and the kernels of a card take at most 2147483520");
  expect_refused(linear(1, 1, 4'194'241), "[linear] C of weight (4194241,1) is 4194241, and the kernels of a card take at most 4194240");
  expect_refused(linear(1, 4'194'241, 1), "[linear] A of weight (1,4194241) is 4194241");
  const LinearBackward backward{.dy = nowhere({1, 1}), .x = nowhere({1, 4'194'241}), .weight = nowhere({1, 4'194'241}), .dweight = nowhere({1, 4'194'241})};
  expect_refused(backward, "[linear_backward] A of weight");
}

#if defined(ISDA_EMULATED)
// The last patch of the largest image, where all that is counted is near 2^31.
TEST_F(CardLimits, TheLastElementIsWhereItIs) {
  using namespace implicit_gemm;
  const Sizes sizes{.N = kMostImages, .C = 64};
  const Conv2d op = sizes.forward();
  const auto patches = patches_of(source_of<float>(op.x, op.prologue), op.x, op.weight, op.y, op);
  const Place last = patches.place(patches.row_count - 1, patches.column_count - 1);
  EXPECT_TRUE(last.is_inside);
  EXPECT_EQ(last.offset, op.x.size() - 1);
  EXPECT_EQ(last.channel, 63);
  // The tile goes on behind it.
  EXPECT_FALSE(patches.place(patches.row_count - 1 + 127, 0).is_inside);
}
#endif

}  // namespace
}  // namespace isda::kernels
