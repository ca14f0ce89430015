// SPDX-License-Identifier: Apache-2.0
// ISDA's operations given what they should not be: refused with a message where the host can see it, made loud where only the card does.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/kernels/isda_head.h"

namespace isda::kernels {
namespace {

using namespace isda_test;

// ---- what nobody on the card can refuse ----

TEST(Isda, OnTheCardAWrongLabelSpoilsItsOwnLogitsOnly) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  const Context context(Device::cuda);
  for (const int label : {4, -1, 1 << 30}) {
    const Head clean(DType::f32, 10, 4, 9, true);
    Random random;
    random.everything(clean);
    clean.labels.set(9, 3);
    const Head wrong = clean;
    wrong.labels.set(9, label);
    for (const Head* head : {&clean, &wrong}) compute(context, *head, &Head::update_forward);
    for (std::int64_t j = 0; j < 4; ++j) EXPECT_TRUE(std::isnan(wrong.augmented[9 * 4 + j])) << j;
    for (std::int64_t i = 0; i < 9; ++i) {
      if (clean.labels[i] != 3) {
        EXPECT_EQ(wrong.augmented.bits(i * 4, 4), clean.augmented.bits(i * 4, 4)) << i;
      }
    }
    EXPECT_EQ(wrong.covariance.bits(0, 3 * 81), clean.covariance.bits(0, 3 * 81));
    double samples = 0;
    for (std::int64_t c = 0; c < 4; ++c) samples += wrong.count[c];
    EXPECT_EQ(samples, 9);
  }
}

TEST(Isda, OnTheCardTheSlotsOfAnotherBatchMakeTheGradientNaN) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  const Context context(Device::cuda);
  for (const auto& [is_full, R] : std::initializer_list<std::pair<bool, std::int64_t>>{{true, 0}, {false, 0}, {false, 3}}) {
    const Head head(DType::f32, 6, 5, 8, is_full, R);
    Random random;
    random.everything(head);
    random.label(head.labels, 2);
    random.fill(head.covariance);
    head.labels.set(0, 1);
    compute(context, head, &Head::forward);
    head.labels.set(0, 3);
    compute(context, head, &Head::backward);
    for (std::int64_t i = 0; i < 5 * 8; ++i) ASSERT_TRUE(std::isnan(head.dweight[i])) << i;
  }
}

// ---- what is said about wrong arguments ----

std::string message_of(const auto& operation, Device device = Device::cpu) {
  try {
    run(Context(device, 1), operation);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Isda, NamesWhatIsWrong) {
  const Head head(DType::f32, 4, 3, 5, true), diagonal(DType::f32, 4, 3, 5, false), low_rank(DType::f32, 4, 3, 5, false, 2), wide(DType::f64, 4, 3, 5, true);
  auto update = head.update();
  update.mean = View();
  EXPECT_EQ(message_of(update), "[isda_update] mean was not given, expected (3,5): (C,A) with N 4, C 3, A 5");
  update = head.update();
  update.covariance = Array(DType::f32, {3, 5, 4});
  EXPECT_EQ(message_of(update), "[isda_update] covariance is (3,5,4), expected (3,5,5) (full), (3,5) (diagonal) or (3,1+R,5) (low rank)");
  update.covariance = Array(DType::f32, {3, 1, 5});
  EXPECT_EQ(message_of(update), "[isda_update] covariance is (3,1,5), expected (3,5,5) (full), (3,5) (diagonal) or (3,1+R,5) (low rank)");
  update.covariance = Array(DType::f32, {3, 6, 5});
  EXPECT_EQ(message_of(update), "[isda_update] covariance is (3,6,5): 5 directions of 5 features would take more memory than (3,5,5) (full); pass that");
  update = head.update();
  update.features = ConstView();
  EXPECT_EQ(message_of(update), "[isda_update] features was not given");
  EXPECT_EQ(message_of(wide.update()), "[isda_update] the cpu device computes in f32, got f64; use --device reference for f64, --device cuda for bf16");

  auto forward = head.forward();
  forward.u = View();
  EXPECT_EQ(message_of(forward), "[isda_forward] u was not given, expected (3,3,5): (min(N,C),C,A) with N 4, C 3, A 5");
  forward = diagonal.forward();
  forward.u = diagonal.u;
  EXPECT_EQ(message_of(forward), "[isda_forward] u was given, but a diagonal covariance has none; leave it out");
  forward = low_rank.forward();
  forward.u = head.u;
  EXPECT_EQ(message_of(forward), "[isda_forward] u is (3,3,5), expected (3,3,2): (min(N,C),C,R) with N 4, C 3, A 5");
  forward = head.forward();
  forward.ratio = wide.ratio;
  EXPECT_EQ(message_of(forward), "[isda_forward] ratio is f64, expected f32");

  auto fused = head.update_forward();
  fused.slots = View();
  EXPECT_EQ(message_of(fused), "[isda_update_forward] slots was not given, expected (3): one for each of 3 classes");

  auto backward = head.backward();
  backward.daugmented = head.weight;
  EXPECT_EQ(message_of(backward), "[isda_backward] daugmented is (3,5), expected (4,3): (N,C) with N 4, C 3, A 5");
}

TEST(Isda, NamesTheSampleWithAWrongLabel) {
  for (const Device device : {Device::reference, Device::cpu}) {
    for (const int label : {3, -1}) {
      const Head head(DType::f32, 4, 3, 5, true);
      head.labels.set(2, label);
      const std::string rest = fmt::format("the label of sample 2 is {}, expected 0 to 2: there are 3 classes", label);
      EXPECT_EQ(message_of(head.update(), device), "[isda_update] " + rest);
      EXPECT_EQ(message_of(head.forward(), device), "[isda_forward] " + rest);
      EXPECT_EQ(message_of(head.update_forward(), device), "[isda_update_forward] " + rest);
      EXPECT_EQ(message_of(head.backward(), device), "[isda_backward] " + rest);
    }
  }
}

TEST(Isda, RefusesTheSlotsOfAnotherBatch) {
  for (const Device device : {Device::reference, Device::cpu}) {
    const Head head(DType::f32, 4, 3, 5, true);
    run(Context(device, 1), head.forward());
    head.labels.set(1, 2);
    EXPECT_EQ(message_of(head.backward(), device),
              "[isda_backward] slots[2] is -1, but class 2 is among the labels; pass the slots made of this batch's labels");
  }
}

}  // namespace
}  // namespace isda::kernels
