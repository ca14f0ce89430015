// SPDX-License-Identifier: Apache-2.0
// What the parity with the reference cannot see: that the reference itself is the definition, and how crops are drawn.
#include "kernels/augment/augment.h"
#include "tests/core/expect_error.h"
#include "tests/kernels/on_card.h"
#include "tests/kernels/on_device.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace isda::kernels {
namespace {

// Two images of one channel whose byte says where it was: 10 * row + column (+ 100 * image).
struct Images {
  static constexpr std::int64_t M = 2, H = 4, W = 5, C = 1;
  std::vector<std::uint8_t> bytes;
  std::vector<float> mean{0}, deviation{1};

  Images() {
    for (int m = 0; m < M; ++m) {
      for (int h = 0; h < H; ++h) {
        for (int w = 0; w < W; ++w) bytes.push_back(static_cast<std::uint8_t>(100 * m + 10 * h + w));
      }
    }
  }

  std::vector<float> augmented(Device device, std::vector<std::int32_t> indices, std::int32_t epoch, std::uint64_t seed, int padding, bool flip) const {
    const auto N = static_cast<std::int64_t>(indices.size());
    std::vector<float> y(static_cast<std::size_t>(N * H * W * C), std::nanf(""));
    run(Context(device, 1), Augment{.images = ConstView(bytes.data(), DType::u8, {M, H, W, C}),
                                    .indices = ConstView(indices.data(), DType::i32, {N}),
                                    .mean = ConstView(mean.data(), DType::f32, {C}),
                                    .deviation = ConstView(deviation.data(), DType::f32, {C}),
                                    .epoch = ConstView(&epoch, DType::i32, {1}),
                                    .seed = seed,
                                    .padding = padding,
                                    .flip = flip,
                                    .y = View(y.data(), DType::f32, {N, H, W, C})});
    return y;
  }
};

class AugmentOn : public OnDevice {};
ISDA_ON_EVERY_DEVICE(AugmentOn);

TEST_P(AugmentOn, IsACropOfTheReflectedImage) {
  // numpy.pad(rows, 2, mode="reflect") repeats rows 2 1 | 0 1 2 3 | 2 1 and columns 2 1 | 0 1 2 3 4 | 3 2.
  const std::array rows{2, 1, 0, 1, 2, 3, 2, 1};
  const std::array columns{2, 1, 0, 1, 2, 3, 4, 3, 2};
  const Images images;
  for (std::int32_t epoch = 0; epoch < 50; ++epoch) {
    const auto y = images.augmented(GetParam(), {1}, epoch, 9, 2, true);
    const Crop crop = draw_crop(9, epoch, 1, 2, true);
    for (int h = 0; h < 4; ++h) {
      for (int w = 0; w < 5; ++w) {
        const int column = columns[static_cast<std::size_t>(crop.left + (crop.is_flipped ? 4 - w : w))];
        ASSERT_EQ(y[static_cast<std::size_t>(h * 5 + w)], 100 + 10 * rows[static_cast<std::size_t>(crop.top + h)] + column) << epoch << " " << h << " " << w;
      }
    }
  }
}

TEST_P(AugmentOn, NormalisesOnlyForEvaluation) {
  Images images;
  images.mean = {20};
  images.deviation = {4};
  const auto y = images.augmented(GetParam(), {1, 0, 1}, 3, 9, 0, false);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t image = i / 20 == 1 ? 0 : 1;
    ASSERT_EQ(y[i], (static_cast<float>(images.bytes[image * 20 + i % 20]) - 20) / 4);
  }
}

TEST_P(AugmentOn, DependsOnSeedEpochAndIndexAlone) {
  const Images images;
  const auto alone = images.augmented(GetParam(), {1}, 7, 9, 2, true);
  const auto last = images.augmented(GetParam(), {0, 0, 1}, 7, 9, 2, true);
  EXPECT_EQ(alone, std::vector<float>(last.begin() + 40, last.end()));
  int same_in_other_epochs = 0, same_with_other_seeds = 0;
  for (std::int32_t other = 0; other < 20; ++other) {
    same_in_other_epochs += alone == images.augmented(GetParam(), {1}, 100 + other, 9, 2, true);
    same_with_other_seeds += alone == images.augmented(GetParam(), {1}, 7, 100 + static_cast<std::uint64_t>(other), 2, true);
  }
  // One of 50 outcomes each: by chance hardly ever more than two of twenty agree.
  EXPECT_LE(same_in_other_epochs, 3);
  EXPECT_LE(same_with_other_seeds, 3);
}

TEST_P(AugmentOn, RefusesAnIndexOutOfRange) {
  const Images images;
  for (const std::int32_t index : {2, -1}) {
    try {
      images.augmented(GetParam(), {0, index}, 0, 0, 1, true);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()), fmt::format("[augment] indices[1] is {}, expected 0 to 1: there are 2 images", index));
    }
  }
}

TEST_P(AugmentOn, RefusesPaddingBeyondTheImage) {
  const Images images;
  EXPECT_NO_THROW(images.augmented(GetParam(), {0}, 0, 0, 3, true));
  EXPECT_THROW(images.augmented(GetParam(), {0}, 0, 0, 4, true), Error);
  EXPECT_THROW(images.augmented(GetParam(), {0}, 0, 0, -1, true), Error);
}

TEST(AugmentOnCard, AnIndexOutOfRangeIsAnImageOfNaN) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  constexpr std::int64_t kSize = 5 * 4 * 2;
  for (const DType type : {DType::f32, DType::bf16}) {
    Problem p(type, 1, Device::cuda);
    p.forward(Augment{.images = p.bytes("images", {3, 5, 4, 2}),
                      .indices = p.integers("indices", {6}, given({2, 3, 0, -1, -2147483648.0, 2147483647})),
                      .mean = p.parameter("mean", {2}),
                      .deviation = p.parameter("deviation", {2}, constant(2)),
                      .epoch = p.integers("epoch", {1}, constant(4)),
                      .padding = 2,
                      .y = p.output("y", {6, 5, 4, 2})});
    p.run(Context(Device::cuda));
    for (std::int64_t i = 0; i < 6 * kSize; ++i) {
      const std::int64_t n = i / kSize;
      ASSERT_EQ(std::isnan(value_of(p, "y", i)), n != 0 && n != 2) << name_of(type) << " " << i;
    }
    EXPECT_NO_THROW(p.check_sentinels());
  }
}

TEST(AugmentOnCard, AGatheredIndexOutOfTheSetIsAnImageOfNaN) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  Problem p(DType::f32, 1, Device::cuda);
  p.forward(Augment{.images = p.bytes("images", {4, 3, 2, 2}),
                    .indices = p.integers("indices", {4}, given({8, 9, -1, 0})),
                    .mean = p.parameter("mean", {2}),
                    .deviation = p.parameter("deviation", {2}, constant(2)),
                    .epoch = p.integers("epoch", {1}, constant(4)),
                    .padding = 0,
                    .gathered_from = 9,
                    .holes = 1,
                    .hole_length = 9,
                    .y = p.output("y", {4, 3, 2, 2})});
  p.run(Context(Device::cuda));
  for (std::int64_t i = 0; i < 4 * 12; ++i) ASSERT_EQ(std::isnan(value_of(p, "y", i)), i / 12 == 1 || i / 12 == 2) << i;
}

TEST_P(AugmentOn, CutsHolesToTheMean) {
  // Of a set of 8x7 images without a byte that is the mean; the same batch with and without holes.
  constexpr std::int64_t N = 40, H = 8, W = 7, C = 2;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(N * H * W * C));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 % 100);
  std::vector<std::int32_t> indices(N);
  std::iota(indices.begin(), indices.end(), 0);
  const std::vector<float> mean{200, 210}, deviation{4, 5};
  const std::int32_t epoch = 3;
  const auto made = [&](int holes, int length) {
    std::vector<float> y(bytes.size());
    run(Context(GetParam(), 2), Augment{.images = ConstView(bytes.data(), DType::u8, {N, H, W, C}),
                                        .indices = ConstView(indices.data(), DType::i32, {N}),
                                        .mean = ConstView(mean.data(), DType::f32, {C}),
                                        .deviation = ConstView(deviation.data(), DType::f32, {C}),
                                        .epoch = ConstView(&epoch, DType::i32, {1}),
                                        .seed = 5,
                                        .holes = holes,
                                        .hole_length = length,
                                        .y = View(y.data(), DType::f32, {N, H, W, C})});
    return y;
  };
  const auto whole = made(0, 0), cut = made(2, 3);
  for (std::int64_t n = 0; n < N; ++n) {
    const Hole one = draw_hole(5, epoch, static_cast<int>(n), 0, 3, H, W), two = draw_hole(5, epoch, static_cast<int>(n), 1, 3, H, W);
    for (int h = 0; h < H; ++h) {
      for (int w = 0; w < W; ++w) {
        for (int c = 0; c < C; ++c) {
          const auto i = static_cast<std::size_t>(((n * H + h) * W + w) * C + c);
          ASSERT_EQ(cut[i], one.has(h, w) || two.has(h, w) ? 0 : whole[i]) << n << " " << h << " " << w;
        }
      }
    }
  }
  EXPECT_EQ(made(0, 3), whole);
  EXPECT_EQ(made(2, 0), whole);
}

TEST(DrawHole, HasItsMiddleAnywhere) {
  // The official code: rows y - length / 2 to y + length / 2, cut off, y uniform.
  std::array<int, 12> tops{}, lefts{};
  for (int index = 0; index < 12000; ++index) {
    const Hole hole = draw_hole(1, 2, index, 0, 4, 10, 12);
    ASSERT_TRUE(hole.top >= 0 && hole.left >= 0 && hole.bottom <= 10 && hole.right <= 12);
    ASSERT_TRUE(hole.bottom - hole.top == 4 || hole.top == 0 || hole.bottom == 10);
    ASSERT_TRUE(hole.right - hole.left == 4 || hole.left == 0 || hole.right == 12);
    ++tops[static_cast<std::size_t>(hole.top)];
    ++lefts[static_cast<std::size_t>(hole.left)];
  }
  // Middles 0, 1 and 2 begin at the border; 12000 / 10 and / 12 of each, deviation 33.
  EXPECT_NEAR(tops[0], 3600, 250);
  EXPECT_NEAR(lefts[0], 3000, 240);
  for (std::size_t i = 1; i < 8; ++i) EXPECT_NEAR(tops[i], 1200, 170) << i;
  EXPECT_EQ(tops[8] + tops[9], 0);
  EXPECT_NEAR(lefts[9], 1000, 160);
  // Holes, images and epochs do not share a place.
  int same = 0;
  for (int index = 0; index < 100; ++index) {
    const Hole hole = draw_hole(1, 2, index, 0, 1, 1000, 1000);
    for (const Hole& other :
         {draw_hole(1, 2, index, 1, 1, 1000, 1000), draw_hole(1, 3, index, 0, 1, 1000, 1000), draw_hole(1, 2, index + 1, 0, 1, 1000, 1000)}) {
      same += hole.top == other.top || hole.left == other.left;
    }
  }
  EXPECT_LE(same, 5) << "of 300, each with a chance of 1 in 500";
  // An odd side is that side.
  for (int index = 0; index < 100; ++index) {
    const Hole hole = draw_hole(1, 2, index, 0, 3, 1000, 1000);
    ASSERT_TRUE(hole.bottom - hole.top == 3 || hole.top == 0 || hole.bottom == 1000);
  }
}

TEST(DrawCrop, IsUniform) {
  constexpr int kDraws = 162000;  // 1000 for each of 9 * 9 * 2 outcomes
  std::array<int, 162> counts{};
  for (int index = 0; index < kDraws; ++index) {
    const Crop crop = draw_crop(1, 5, index, 4, true);
    ASSERT_TRUE(crop.top >= 0 && crop.top <= 8 && crop.left >= 0 && crop.left <= 8);
    ++counts[static_cast<std::size_t>((crop.top * 9 + crop.left) * 2 + crop.is_flipped)];
  }
  // Chi-square with 161 degrees of freedom: mean 161, deviation 18.
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_square, 250);
  EXPECT_GT(chi_square, 90);
}

TEST(DrawCrop, HasNoChoiceInEvaluation) {
  for (int index = 0; index < 100; ++index) {
    const Crop crop = draw_crop(1, index, index, 0, false);
    ASSERT_TRUE(crop.top == 0 && crop.left == 0 && !crop.is_flipped);
  }
}

TEST(AugmentCheck, NamesTheArgument) {
  const std::vector<std::uint8_t> bytes(2 * 4 * 4 * 3);
  const std::vector<std::int32_t> indices{0, 1};
  const std::vector<float> constants{1, 1, 1};
  std::vector<float> y(bytes.size());
  const Augment good{.images = ConstView(bytes.data(), DType::u8, {2, 4, 4, 3}),
                     .indices = ConstView(indices.data(), DType::i32, {2}),
                     .mean = ConstView(constants.data(), DType::f32, {3}),
                     .deviation = ConstView(constants.data(), DType::f32, {3}),
                     .epoch = ConstView(indices.data(), DType::i32, {1}),
                     .padding = 1,
                     .y = View(y.data(), DType::f32, {2, 4, 4, 3})};
  EXPECT_NO_THROW(check(good));
  const auto expect_refused = [&](const std::string& why, auto change) {
    Augment op = good;
    change(op);
    expect_error([&] { check(op); }, why);
  };
  expect_refused("[augment] images is (4,4,3)", [](Augment& op) { op.images = ConstView(op.images.data(), DType::u8, {4, 4, 3}); });
  expect_refused("[augment] images is f32", [](Augment& op) { op.images = ConstView(op.images.data(), DType::f32, {2, 4, 4, 3}); });
  expect_refused("[augment] indices is i64", [](Augment& op) { op.indices = ConstView(op.indices.data(), DType::i64, {1}); });
  expect_refused("[augment] indices is (1,2)", [](Augment& op) { op.indices = ConstView(op.indices.data(), DType::i32, {1, 2}); });
  expect_refused("[augment] mean is (2), expected (3)", [](Augment& op) { op.mean = ConstView(op.mean.data(), DType::f32, {2}); });
  expect_refused("[augment] deviation was not given", [](Augment& op) { op.deviation = ConstView(); });
  expect_refused("[augment] deviation is f64, expected f32", [](Augment& op) { op.deviation = ConstView(op.mean.data(), DType::f64, {3}); });
  expect_refused("[augment] epoch is (2), expected (1)", [](Augment& op) { op.epoch = ConstView(op.epoch.data(), DType::i32, {2}); });
  expect_refused("[augment] epoch is f32", [](Augment& op) { op.epoch = ConstView(op.mean.data(), DType::f32, {1}); });
  expect_refused("[augment] y is (2,4,3,3)", [](Augment& op) { op.y = View(op.y.data(), DType::f32, {2, 4, 3, 3}); });
  expect_refused("[augment] -1 holes, expected 0 to 1024", [](Augment& op) { op.holes = -1; });
  expect_refused("[augment] hole_length is -1", [](Augment& op) { op.hole_length = -1; });
  expect_refused("[augment] gathered_from is -1", [](Augment& op) { op.gathered_from = -1; });
  expect_refused("[augment] images is (2,4,4,3), expected (1,4,4,3)",
                 [&](Augment& op) { op.indices = ConstView(indices.data(), DType::i32, {1}), op.gathered_from = 9; });
  expect_refused("[augment] padding is 4, expected 0 to 3", [](Augment& op) { op.padding = 4; });
}

}  // namespace
}  // namespace isda::kernels
