// SPDX-License-Identifier: Apache-2.0
// Shapes, element types and views.
#include "kernels/common/view.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/common/check.h"
#include "kernels/common/grid.h"
#include "tests/kernels/array.h"

namespace isda {
namespace {

TEST(ShapeOf, KnowsItsExtents) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.size(), 30);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 5);
  EXPECT_EQ(shape[-3], 2);
  const auto [a, b, c] = shape.extents<3>();
  EXPECT_EQ(a * 100 + b * 10 + c, 235);
  EXPECT_EQ(shape.text(), "(2,3,5)");
}

TEST(ShapeOf, AScalarHasOneElement) {
  EXPECT_EQ(Shape().rank(), 0);
  EXPECT_EQ(Shape().size(), 1);
  EXPECT_EQ(Shape().text(), "()");
  EXPECT_EQ((Shape{4, 0, 3}.size()), 0);
}

TEST(ShapeOf, IsEqualOnlyToTheSameExtents) {
  EXPECT_TRUE((Shape{2, 3} == Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3} == Shape{3, 2}));
  EXPECT_FALSE((Shape{2, 3} == Shape{2, 3, 1}));
  EXPECT_FALSE((Shape{2, 3, 0} == Shape{2, 3}));
}

TEST(ShapeOf, RefusesWhatItCannotBe) {
  EXPECT_EQ(thrown_by([] { Shape({2, -1}); }), "[shape] extent 1 is -1, expected 0 or more");
  EXPECT_EQ(thrown_by([] { Shape({1, 1, 1, 1, 1, 1}); }), "[shape] 6 extents, at most 5 are possible");
  EXPECT_EQ(thrown_by([] { (Shape{2, 3}.extents<3>()); }), "[shape] (2,3) has 2 extents, expected 3");
}

TEST(GridOf, VisitsEveryIndexTheLastFastest) {
  std::string visited;
  for (const auto [i, j] : grid(2, 3)) visited += fmt::format("{}{} ", i, j);
  EXPECT_EQ(visited, "00 01 02 10 11 12 ");
  for ([[maybe_unused]] const auto& index : grid(2, 0, 3)) FAIL() << "an empty grid has no index";
}

TEST(Bf16, EveryValueSurvivesTheWayToF32AndBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    bf16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const bf16 back(static_cast<float>(value));
    if (std::isnan(static_cast<float>(value)))
      EXPECT_TRUE(std::isnan(static_cast<float>(back))) << bits;
    else
      EXPECT_EQ(back.bits, value.bits);
  }
}

TEST(Bf16, RoundsToTheNearest) {
  // Between two neighbours, below, at and above the middle: the middle goes to the even one.
  for (const std::uint32_t upper : {0x3F80u, 0x3F81u, 0x0001u, 0x7F7Eu, 0xC2FFu, 0x8000u}) {
    const auto rounded = [&](std::uint32_t lower) { return bf16(std::bit_cast<float>(upper << 16 | lower)).bits; };
    EXPECT_EQ(rounded(0x0000), upper);
    EXPECT_EQ(rounded(0x7FFF), upper);
    EXPECT_EQ(rounded(0x8000), upper % 2 ? upper + 1 : upper);
    EXPECT_EQ(rounded(0x8001), upper + 1);
    EXPECT_EQ(rounded(0xFFFF), upper + 1);
  }
}

TEST(Bf16, KeepsNanAndInfinity) {
  // NaNs whose mantissa lies in the lost half alone must not become infinite.
  for (const std::uint32_t bits : {0x7F800001u, 0x7FFFFFFFu, 0xFF800001u, 0xFFFFFFFFu, 0x7FC00000u}) {
    EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(bits))))) << std::hex << bits;
  }
  EXPECT_EQ(static_cast<float>(bf16(std::numeric_limits<float>::infinity())), std::numeric_limits<float>::infinity());
  EXPECT_EQ(static_cast<float>(bf16(-std::numeric_limits<float>::max())), -std::numeric_limits<float>::infinity());
}

TEST(DTypes, HaveSizesAndNames) {
  EXPECT_EQ(size_of(DType::u8), sizeof(std::uint8_t));
  EXPECT_EQ(size_of(DType::bf16), sizeof(bf16));
  EXPECT_EQ(size_of(DType::f32), sizeof(float));
  EXPECT_EQ(size_of(DType::i32), sizeof(std::int32_t));
  EXPECT_EQ(size_of(DType::f64), sizeof(double));
  EXPECT_EQ(size_of(DType::i64), sizeof(std::int64_t));
  EXPECT_EQ(name_of(DType::bf16), "bf16");
  EXPECT_EQ(name_of(dtype_of<const float>()), "f32");
}

TEST(DTypes, DispatchToTheirElement) {
  const auto size = [](DType type) { return dispatch_float(type, []<class T>() { return sizeof(T); }); };
  EXPECT_EQ(size(DType::f32), 4u);
  EXPECT_EQ(size(DType::bf16), 2u);
  EXPECT_EQ(size(DType::f64), 8u);
  EXPECT_EQ(thrown_by([&] { size(DType::u8); }), "[dtype] u8 is not a floating type; expected f32, bf16 or f64");
}

template <class T>
class ViewOf : public testing::Test {};
using Elements = testing::Types<float, double, bf16, std::uint8_t, std::int32_t, std::int64_t>;
TYPED_TEST_SUITE(ViewOf, Elements);

TYPED_TEST(ViewOf, ReadsAndWritesByIndexAndOffset) {
  Array<TypeParam> array({2, 3});
  const View view = array;
  for (const auto [i, j] : grid(2, 3)) view.set(static_cast<double>(10 * i + j), i, j);
  for (const auto [i, j] : grid(2, 3)) {
    EXPECT_EQ(view.at(i, j), static_cast<double>(10 * i + j));
    EXPECT_EQ(view.at_offset(i * 3 + j), static_cast<double>(10 * i + j));
    EXPECT_EQ(static_cast<double>(view.template as<TypeParam>()[i * 3 + j]), static_cast<double>(10 * i + j));
  }
  EXPECT_EQ(view.size(), 6);
  EXPECT_EQ(view.bytes(), static_cast<std::int64_t>(6 * sizeof(TypeParam)));
}

TEST(Views, KnowWhetherTheyWereGiven) {
  EXPECT_FALSE(ConstView());
  EXPECT_EQ(ConstView().bytes(), 0);
  EXPECT_EQ(ConstView().as<float>(), nullptr);
  EXPECT_EQ(ConstView().as<double>(), nullptr) << "what was not given has no type to disagree with";
  const Array<float> array({1});
  EXPECT_TRUE(ConstView(array));
}

TEST(Views, RefuseAnotherElementType) {
  Array<float> array({1});
  EXPECT_EQ(thrown_by([&] { ConstView(array).as<double>(); }), "[view] the elements are f32, read as f64");
  EXPECT_EQ(thrown_by([&] { View(array).as<bf16>(); }), "[view] the elements are f32, read as bf16");
}

TEST(Checks, SayWhatWasGotAndExpected) {
  const Array<float> array({2, 3});
  const ConstView view = array, empty(array.values.data(), DType::f32, {0, 3});
  using namespace kernels;
  EXPECT_EQ(thrown_by([&] { check_given("op", "x", {}); }), "[op] x was not given");
  EXPECT_EQ(thrown_by([&] { check_given("op", "x", empty); }), "[op] x is empty: (0,3)");
  EXPECT_EQ(thrown_by([&] { check_rank("op", "x", view, 4, "(N,H,W,C)"); }), "[op] x is (2,3), expected 4 extents: (N,H,W,C)");
  EXPECT_EQ(thrown_by([&] { check_shape("op", "y", view, {3, 2}, "the transpose of x"); }), "[op] y is (2,3), expected (3,2): the transpose of x");
  EXPECT_EQ(thrown_by([&] { check_shape("op", "y", {}, {3}, "(C)"); }), "[op] y was not given, expected (3): (C)");
  EXPECT_EQ(thrown_by([&] { check_type("op", "x", view, DType::i32); }), "[op] x is f32, expected i32");
  const Array<std::int32_t> integers({1});
  EXPECT_EQ(thrown_by([&] { check_float("op", "x", integers); }), "[op] x is i32, expected f32, bf16 or f64");
  const Array<double> doubles({1});
  EXPECT_EQ(thrown_by([&] { check_cpu("op", doubles); }),
            "[op] the cpu device computes in f32, got f64; use --device reference for f64, --device cuda for bf16");
}

}  // namespace
}  // namespace isda
