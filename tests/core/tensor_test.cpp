// SPDX-License-Identifier: Apache-2.0
// Tensors: shared storage, copies and conversions, and the context of a thread.
#include "core/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <thread>

#include "core/autograd.h"
#include "tests/core/expect_error.h"

namespace isda {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f64, DType::u8, DType::i32, DType::i64};

// 0, 1, 2, ...
Tensor counted(const Shape& shape, DType type = DType::f32) {
  const Tensor result(shape, type);
  for (std::int64_t i = 0; i < result.size(); ++i) result.view().set_offset(static_cast<double>(i), i);
  return result;
}

void expect_elements(const Tensor& tensor, const std::vector<double>& expected) {
  ASSERT_EQ(tensor.size(), static_cast<std::int64_t>(expected.size()));
  for (std::int64_t i = 0; i < tensor.size(); ++i) EXPECT_EQ(tensor.view().at_offset(i), expected[static_cast<std::size_t>(i)]) << "element " << i;
}

TEST(Tensor, UndefinedIsFalseAndAnAbsentView) {
  const Tensor undefined;
  EXPECT_FALSE(undefined);
  EXPECT_FALSE(undefined.view());
  EXPECT_EQ(undefined.view().data(), nullptr);
  EXPECT_TRUE(Tensor({2}));
}

TEST(Tensor, KnowsItsShapeTypeDeviceAndBytes) {
  const Tensor tensor({2, 3, 5}, DType::bf16, Device::reference);
  EXPECT_EQ(tensor.shape(), (Shape{2, 3, 5}));
  EXPECT_EQ(tensor.extent(1), 3);
  EXPECT_EQ(tensor.extent(-1), 5);
  EXPECT_EQ(tensor.size(), 30);
  EXPECT_EQ(tensor.bytes(), 60);
  EXPECT_EQ(tensor.type(), DType::bf16);
  EXPECT_EQ(tensor.device(), Device::reference);
  const Tensor alike = Tensor::like(tensor);
  EXPECT_EQ(alike.shape(), tensor.shape());
  EXPECT_EQ(alike.type(), tensor.type());
  EXPECT_EQ(alike.device(), tensor.device());
  EXPECT_NE(alike.view().data(), tensor.view().data());
}

TEST(Tensor, FullAndZerosFillEveryType) {
  for (const DType type : kTypes) {
    SCOPED_TRACE(name_of(type));
    // Memory that was used before, so that what is not written is seen.
    counted({3, 2}, type);
    expect_elements(Tensor::full({3, 2}, 7, type), {7, 7, 7, 7, 7, 7});
    counted({3, 2}, type);
    expect_elements(Tensor::zeros({3, 2}, type), {0, 0, 0, 0, 0, 0});
  }
}

TEST(Tensor, AnEmptyTensorIsDefined) {
  const Tensor empty = Tensor::zeros({0, 4});
  EXPECT_TRUE(empty);
  EXPECT_EQ(empty.size(), 0);
  EXPECT_EQ(empty.clone().size(), 0);
}

TEST(Tensor, CopiesShareStorageAndClonesDoNot) {
  const Tensor tensor = counted({4});
  const Tensor copied = tensor, cloned = tensor.clone();
  tensor.view().set(9, 2);
  expect_elements(copied, {0, 1, 9, 3});
  expect_elements(cloned, {0, 1, 2, 3});
}

TEST(Tensor, CopyOfHostMemory) {
  std::array<std::int32_t, 4> host{4, 3, 2, 1};
  const Tensor tensor = Tensor::copy_of(ConstView(host.data(), DType::i32, {2, 2}), Device::reference);
  host[0] = 0;
  EXPECT_EQ(tensor.type(), DType::i32);
  EXPECT_EQ(tensor.device(), Device::reference);
  EXPECT_EQ(tensor.shape(), (Shape{2, 2}));
  expect_elements(tensor, {4, 3, 2, 1});
}

TEST(Tensor, ReshapedSharesStorage) {
  const Tensor tensor = counted({2, 6}), seen = tensor.reshaped({3, 4});
  EXPECT_EQ(seen.shape(), (Shape{3, 4}));
  EXPECT_EQ(seen.view().at(1, 0), 4);
  tensor.view().set(-1, 0, 4);
  EXPECT_EQ(seen.view().at(1, 0), -1);
  expect_error([&] { tensor.reshaped({5, 2}); }, "(2,6) cannot be seen as (5,2): 10 elements, expected 12");
}

TEST(Tensor, DetachedAndReshapedHaveNoHistory) {
  const Tensor leaf = parameter(counted({4}));
  EXPECT_NE(leaf.history(), nullptr);
  EXPECT_EQ(leaf.detached().history(), nullptr);
  EXPECT_EQ(leaf.reshaped({2, 2}).history(), nullptr);
  EXPECT_EQ(leaf.clone().history(), nullptr);
  EXPECT_EQ(leaf.detached().view().data(), leaf.view().data());
}

TEST(Tensor, ToConvertsTheElements) {
  for (const DType from : kTypes) {
    for (const DType to : kTypes) {
      SCOPED_TRACE(fmt::format("{} to {}", name_of(from), name_of(to)));
      const Tensor converted = counted({5}, from).to(to, Device::cpu);
      EXPECT_EQ(converted.type(), to);
      expect_elements(converted, {0, 1, 2, 3, 4});
    }
  }
}

TEST(Tensor, ToSharesOnlyWhereNothingChanges) {
  const Tensor tensor = parameter(counted({5}));
  const Tensor same = tensor.to(DType::f32, Device::cpu);
  EXPECT_EQ(same.view().data(), tensor.view().data());
  EXPECT_EQ(same.history(), nullptr);
  const Tensor moved = tensor.to(DType::f32, Device::reference);
  EXPECT_NE(moved.view().data(), tensor.view().data());
  EXPECT_EQ(moved.device(), Device::reference);
  expect_elements(moved, {0, 1, 2, 3, 4});
}

TEST(Tensor, Bf16RoundsToNearestEven) {
  const Tensor tensor({4});
  const double values[] = {1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-8 + 0x1p-20, std::numeric_limits<double>::quiet_NaN()};
  for (std::int64_t i = 0; i < 4; ++i) tensor.view().set(values[i], i);
  const Tensor converted = tensor.to(DType::bf16, Device::cpu).to(DType::f32, Device::cpu);
  const View rounded = converted;
  EXPECT_EQ(rounded.at(0), 1);
  EXPECT_EQ(rounded.at(1), 1 + 4 * 0x1p-8);
  EXPECT_EQ(rounded.at(2), 1 + 2 * 0x1p-8);
  EXPECT_TRUE(std::isnan(rounded.at(3)));
}

TEST(Tensor, ItemIsTheOnlyElement) {
  EXPECT_EQ(Tensor::full({1, 1}, 2.5).item(), 2.5);
  EXPECT_EQ(Tensor::full({}, 3, DType::i64).item(), 3);
  expect_error([] { Tensor::zeros({2}).item(); }, "[tensor] item() of shape (2), expected one element");
  expect_error([] { Tensor().item(); }, "[tensor] item()");
}

TEST(Tensor, CopyRefusesAnotherShape) {
  expect_error([] { copy(Tensor::zeros({2, 3}), Tensor::zeros({3, 2})); }, "[tensor] copy of (2,3) into (3,2): the shapes must agree");
}

TEST(Context, OnePerThreadAndDevice) {
  const Context& mine = context_of(Device::cpu);
  EXPECT_EQ(&mine, &context_of(Device::cpu));
  EXPECT_EQ(&mine, &Tensor({1}).context());
  EXPECT_EQ(mine.device(), Device::cpu);
  EXPECT_EQ(context_of(Device::reference).device(), Device::reference);
  EXPECT_NE(&mine, &context_of(Device::reference));
  const Context* theirs = nullptr;
  std::thread([&] { theirs = &context_of(Device::cpu); }).join();
  EXPECT_NE(&mine, theirs);
}

TEST(Context, FollowsTheThreadsAskedFor) {
  set_threads(1);
  EXPECT_EQ(context_of(Device::cpu).threads(), 1);
  set_threads(3);
  EXPECT_EQ(context_of(Device::cpu).threads(), 3);
  int theirs = 0;
  std::thread([&] { theirs = context_of(Device::cpu).threads(); }).join();
  EXPECT_EQ(theirs, 3);
  set_threads(0);
  EXPECT_GE(context_of(Device::cpu).threads(), 1);
  expect_error([] { set_threads(-1); }, "[threads] -1 threads were asked for, expected 0 (all) or more");
}

TEST(Context, OfTheCardFollowsTheProductsAskedFor) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  const Context& card = context_of(Device::cuda);
  EXPECT_EQ(card.f32_products(), F32Products::three_tf32);
  set_f32_products(F32Products::plain);
  EXPECT_EQ(&context_of(Device::cuda), &card) << "with the same stream";
  EXPECT_EQ(card.f32_products(), F32Products::plain);
  std::thread([] { EXPECT_EQ(context_of(Device::cuda).f32_products(), F32Products::plain); }).join();
  set_f32_products(F32Products::three_tf32);
  EXPECT_EQ(context_of(Device::cuda).f32_products(), F32Products::three_tf32);
}

}  // namespace
}  // namespace isda
