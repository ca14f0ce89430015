// SPDX-License-Identifier: Apache-2.0
// What the parity with the reference cannot see: images mixed by hand, and places that cannot be.
#include "kernels/mix/mix.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/kernels/on_card.h"

namespace isda::kernels {
namespace {

// Three images of one row of four pixels, 0..3, 10..13, 20..23.
std::vector<double> mixed(Device device, double weight, const std::vector<double>& place) {
  Problem p(DType::f32, 1, device);
  p.forward(Mix{.x = p.input("x", {3, 1, 4, 1}, [](Draw&, std::int64_t i) { return static_cast<double>(i / 4 * 10 + i % 4); }),
                .weight = p.parameter("weight", {1}, constant(weight)),
                .place = p.integers("place", {5}, given(place)),
                .y = p.output("y", {3, 1, 4, 1})});
  p.run(Context(device));
  std::vector<double> values;
  for (std::int64_t i = 0; i < 12; ++i) values.push_back(value_of(p, "y", i));
  return values;
}

TEST(Mix, IsWhatOneWouldMixByHand) {
  for (const Device device : {Device::reference, Device::cpu, Device::cuda}) {
    if (device == Device::cuda && !cuda::card().is_usable) continue;
    SCOPED_TRACE(name_of(device));
    EXPECT_EQ(mixed(device, 0.75, {1, 0, 0, 0, 0}), (std::vector<double>{2.5, 3.5, 4.5, 5.5, 12.5, 13.5, 14.5, 15.5, 15, 16, 17, 18}));
    EXPECT_EQ(mixed(device, 1, {2, 0, 1, 1, 3}), (std::vector<double>{0, 21, 22, 3, 10, 1, 2, 13, 20, 11, 12, 23}));
  }
}

TEST(Mix, RefusesAPlaceThatCannotBe) {
  for (const Device device : {Device::reference, Device::cpu}) {
    for (const std::vector<double>& place :
         {std::vector<double>{3, 0, 0, 0, 0}, {-1, 0, 0, 0, 0}, {0, 0, 0, 2, 1}, {0, 0, 0, 1, 5}, {0, 0, 2, 1, 1}, {0, -1, 0, 1, 1}}) {
      EXPECT_THROW(mixed(device, 1, place), Error) << name_of(device) << " " << place[0] << " " << place[3] << " " << place[4];
    }
  }
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  EXPECT_EQ(mixed(Device::cuda, 1, {-1, 0, 0, 1, 9}), mixed(Device::cuda, 1, {2, 0, 0, 1, 4}));
}

TEST(MixCheck, RefusesToWriteOverWhatItReads) {
  std::vector<float> x(4);
  const std::vector<std::int32_t> place(5);
  const float weight = 1;
  const Mix op{.x = ConstView(x.data(), DType::f32, {2, 1, 2, 1}),
               .weight = ConstView(&weight, DType::f32, {1}),
               .place = ConstView(place.data(), DType::i32, {5}),
               .y = View(x.data(), DType::f32, {2, 1, 2, 1})};
  EXPECT_THROW(check(op), Error);
}

}  // namespace
}  // namespace isda::kernels
