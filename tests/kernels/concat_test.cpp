// SPDX-License-Identifier: Apache-2.0
// Channels side by side beyond their case: a grid of as many blocks as there may be, NaN, messages.
#include "kernels/concat/concat.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/kernels/array.h"
#include "tests/kernels/on_card.h"

namespace isda::kernels {
namespace {

// More rows than all blocks take at once: a thread walks on.
TEST(ConcatOnCard, ThreadsWalkDownTheRows) {
  expect_as_reference_on_card(
      [](Problem& p) {
        const std::int64_t rows = 652, A = 1000, B = 27;
        p.forward(Concat{.a = p.input("a", {rows, A}), .b = p.input("b", {rows, B}), .y = p.output("y", {rows, A + B})});
        p.backward(ConcatBackward{.dy = p.input("dy", {rows, A + B}), .da = p.output("da", {rows, A}), .db = p.output("db", {rows, B})});
      },
      0);
}

TEST(ConcatOnCard, WhatIsNoNumberIsMovedToo) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  expect_as_reference_on_card(
      [&](Problem& p) {
        p.forward(
            Concat{.a = p.input("a", {2, 2}, given({1, nan, -infinity, 4})), .b = p.input("b", {2, 1}, given({infinity, nan})), .y = p.output("y", {2, 3})});
      },
      0);
}

TEST(Concat, WhatDoesNotFitIsAnError) {
  const Context context(Device::cpu);
  Array<float> a({2, 3}), b({2, 1}), y({2, 4});
  const auto error = [&](const Concat& op) { return thrown_by([&] { run(context, op); }); };
  EXPECT_EQ(error({.a = a, .b = b, .y = a}), "[concat] y is (2,3), expected 4 in the last place: 3 of a and 1 of b");
  EXPECT_EQ(error({.a = a, .b = {}, .y = y}), "[concat] b was not given");
  Array<float> c({1, 1});
  EXPECT_EQ(error({.a = a, .b = c, .y = y}), "[concat] b is (1,1), expected the extents of y (2,4) but for the last");
  EXPECT_EQ(thrown_by([&] { run(context, ConcatBackward{.dy = y, .da = b, .db = b}); }),
            "[concat_backward] dy is (2,4), expected 2 in the last place: 1 of da and 1 of db");
}

}  // namespace
}  // namespace isda::kernels
