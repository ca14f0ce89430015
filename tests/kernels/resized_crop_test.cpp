// SPDX-License-Identifier: Apache-2.0
// What the parity with the reference cannot see: what a resized box is, and how boxes are drawn. Pillow's own results: tests/datasets/image_files_test.cpp.
#include "kernels/resized_crop/resized_crop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "kernels/common/error.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

struct Image {
  std::int64_t H, W, C;
  std::vector<std::uint8_t> bytes;

  ConstView view() const { return ConstView(bytes.data(), DType::u8, {1, H, W, C}); }
};

Image noise(std::int64_t H, std::int64_t W, std::int64_t C) {
  Image image{H, W, C, {}};
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(H * W * C); ++i)
    image.bytes.push_back(static_cast<std::uint8_t>(philox(9, RandomStream::test, 0, i)[0]));
  return image;
}

std::vector<std::uint8_t> resized(Device device, const Image& image, std::array<float, 4> box, std::int32_t flip, std::int64_t h, std::int64_t w) {
  std::vector<std::uint8_t> y(static_cast<std::size_t>(h * w * image.C), 77);
  run(Context(device, 1), ResizedCrop{.x = image.view(),
                                      .boxes = ConstView(box.data(), DType::f32, {1, 4}),
                                      .flips = ConstView(&flip, DType::i32, {1}),
                                      .y = View(y.data(), DType::u8, {1, h, w, image.C})});
  return y;
}

class ResizedCropOn : public OnDevice {};
ISDA_ON_EVERY_DEVICE(ResizedCropOn);

TEST_P(ResizedCropOn, OfItsOwnSizeIsTheBox) {
  const Image image = noise(20, 23, 3);
  EXPECT_EQ(resized(GetParam(), image, {0, 0, 23, 20}, 0, 20, 23), image.bytes);
  const auto part = resized(GetParam(), image, {5, 2, 15, 19}, 0, 17, 10), mirrored = resized(GetParam(), image, {5, 2, 15, 19}, 1, 17, 10);
  for (std::int64_t i = 0; i < 17; ++i) {
    for (std::int64_t j = 0; j < 10; ++j) {
      for (std::int64_t c = 0; c < 3; ++c) {
        const auto expected = image.bytes[static_cast<std::size_t>(((i + 2) * 23 + j + 5) * 3 + c)];
        ASSERT_EQ(part[static_cast<std::size_t>((i * 10 + j) * 3 + c)], expected);
        ASSERT_EQ(mirrored[static_cast<std::size_t>((i * 10 + 9 - j) * 3 + c)], expected);
      }
    }
  }
}

TEST_P(ResizedCropOn, IsBilinear) {
  // 2 pixels to 4: their centres are at 1/4 and 3/4 between; the ends repeat the outermost.
  EXPECT_EQ(resized(GetParam(), {1, 2, 1, {0, 200}}, {0, 0, 2, 1}, 0, 1, 4), (std::vector<std::uint8_t>{0, 50, 150, 200}));
  // 4 to 2: a triangle four pixels wide, 1 3 3 1, of which the outermost is beyond the image.
  EXPECT_EQ(resized(GetParam(), {1, 4, 1, {70, 0, 140, 210}}, {0, 0, 4, 1}, 0, 1, 2), (std::vector<std::uint8_t>{50, 150}));
}

TEST_P(ResizedCropOn, KeepsAColour) {
  Image image{50, 61, 1, std::vector<std::uint8_t>(50 * 61, 255)};
  for (const int value : {255, 1, 128}) {
    std::fill(image.bytes.begin(), image.bytes.end(), static_cast<std::uint8_t>(value));
    for (const auto& y : {resized(GetParam(), image, {0.3f, 1.7f, 60.9f, 49.2f}, 1, 7, 9), resized(GetParam(), image, {20, 20, 21.5f, 20.4f}, 0, 40, 33)}) {
      EXPECT_EQ(*std::min_element(y.begin(), y.end()), value);
      EXPECT_EQ(*std::max_element(y.begin(), y.end()), value);
    }
  }
}

TEST_P(ResizedCropOn, RefusesABoxThatIsNotWithinTheImage) {
  const Image image = noise(4, 5, 1);
  const auto error = [&](std::array<float, 4> box) -> std::string {
    try {
      resized(GetParam(), image, box, 0, 2, 2);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error({0, 0, 5, 4}), "");
  EXPECT_EQ(error({0, 1, 5.5f, 4}), "[resized_crop] boxes[0] is from (0,1) to (5.5,4), expected to be within the 5 by 4 pixels of x, and not empty");
  for (const auto& box : {std::array{-0.1f, 0.f, 5.f, 4.f},
                          {0.f, -1.f, 5.f, 4.f},
                          {0.f, 0.f, 5.f, 4.1f},
                          {3.f, 0.f, 3.f, 4.f},
                          {0.f, 2.f, 5.f, 1.f},
                          {std::nanf(""), 0.f, 5.f, 4.f},
                          {0.f, 0.f, 5.f, std::nanf("")}})
    EXPECT_NE(error(box), "") << box[0] << " " << box[3];
}

TEST(CropBox, IsWithinTheImageAndOfTheRatiosAndAreas) {
  double areas = 0;
  std::int64_t flips = 0, wide = 0;
  std::set<std::int64_t> lefts;
  for (std::int32_t index = 0; index < 4000; ++index) {
    const CropBox box = draw_crop_box(3, 7, index, 400, 400);
    ASSERT_TRUE(box.left >= 0 && box.top >= 0 && box.left + box.width <= 400 && box.top + box.height <= 400);
    const double ratio = static_cast<double>(box.width) / static_cast<double>(box.height), area = static_cast<double>(box.width * box.height) / (400 * 400);
    ASSERT_TRUE(ratio > 0.74 && ratio < 1.35) << ratio;
    ASSERT_TRUE(area > 0.079 && area <= 1) << area;
    areas += area;
    flips += box.is_flipped;
    wide += box.width > box.height;
    lefts.insert(box.left);
  }
  // Of areas a uniform in [0.08,1] and ratios r those fit with a <= min(r,1/r): their mean is 0.478, and has a deviation of 0.004.
  EXPECT_NEAR(areas / 4000, 0.478, 0.016);
  EXPECT_NEAR(static_cast<double>(flips), 2000, 160);
  EXPECT_NEAR(static_cast<double>(wide), 2000, 160);
  EXPECT_GT(lefts.size(), 200u);
}

TEST(CropBox, IsAFunctionOfSeedEpochAndIndex) {
  const auto numbers = [](std::uint64_t seed, std::int32_t epoch, std::int32_t index) {
    const CropBox box = draw_crop_box(seed, epoch, index, 375, 500);
    return std::array{box.left, box.top, box.width, box.height};
  };
  EXPECT_EQ(numbers(1, 2, 3), numbers(1, 2, 3));
  EXPECT_NE(numbers(1, 2, 3), numbers(2, 2, 3));
  EXPECT_NE(numbers(1, 2, 3), numbers(1, 3, 3));
  EXPECT_NE(numbers(1, 2, 3), numbers(1, 2, 4));
}

TEST(CropBox, OfAnImageThatIsTooLongIsInItsMiddle) {
  const CropBox wide = draw_crop_box(1, 0, 0, 9, 3000), tall = draw_crop_box(1, 0, 0, 3000, 9), dot = draw_crop_box(1, 0, 0, 1, 1);
  EXPECT_EQ((std::array{wide.left, wide.top, wide.width, wide.height}), (std::array<std::int64_t, 4>{1494, 0, 12, 9}));
  EXPECT_EQ((std::array{tall.left, tall.top, tall.width, tall.height}), (std::array<std::int64_t, 4>{0, 1494, 9, 12}));
  EXPECT_EQ((std::array{dot.left, dot.top, dot.width, dot.height}), (std::array<std::int64_t, 4>{0, 0, 1, 1}));
}

}  // namespace
}  // namespace isda::kernels
