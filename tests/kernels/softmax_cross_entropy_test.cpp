// SPDX-License-Identifier: Apache-2.0
// What the case of kernels/softmax_cross_entropy cannot see: NaN, infinities, ties, and what is said about wrong arguments.
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "tests/kernels/on_device.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace isda::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

// A batch of samples and what came of it.
struct Batch {
  std::int64_t C;
  std::vector<float> logits;
  std::vector<std::int32_t> labels;
  std::vector<float> losses, dlogits;
  float loss = kNaN;
  std::int32_t correct = 77;

  Batch(const std::vector<std::vector<float>>& rows, std::vector<std::int32_t> labels_of_rows)
      : C(static_cast<std::int64_t>(rows[0].size())), labels(std::move(labels_of_rows)), losses(rows.size(), kNaN) {
    for (const auto& row : rows) logits.insert(logits.end(), row.begin(), row.end());
    dlogits.assign(logits.size(), kNaN);
  }

  std::int64_t N() const { return static_cast<std::int64_t>(losses.size()); }
  SoftmaxCrossEntropy operation() {
    return {.logits = ConstView(logits.data(), DType::f32, {N(), C}),
            .labels = ConstView(labels.data(), DType::i32, {static_cast<std::int64_t>(labels.size())}),
            .loss = View(&loss, DType::f32, {1}),
            .losses = View(losses.data(), DType::f32, {N()}),
            .dlogits = View(dlogits.data(), DType::f32, {N(), C}),
            .correct = View(&correct, DType::i32, {1})};
  }
};

class SoftmaxCrossEntropyOn : public OnDevice {};
ISDA_ON_EVERY_DEVICE(SoftmaxCrossEntropyOn);

TEST_P(SoftmaxCrossEntropyOn, KnowsTheLossOfKnownProbabilities) {
  // Logits that are logarithms of 1, 2, 5 of 8, moved by a constant.
  Batch batch({{std::log(1.0f) + 3, std::log(2.0f) + 3, std::log(5.0f) + 3}}, {1});
  run(context, batch.operation());
  EXPECT_NEAR(batch.loss, std::log(4.0), 1e-6);
  EXPECT_NEAR(batch.dlogits[0], 1.0 / 8, 1e-6);
  EXPECT_NEAR(batch.dlogits[1], 2.0 / 8 - 1, 1e-6);
  EXPECT_NEAR(batch.dlogits[2], 5.0 / 8, 1e-6);
  EXPECT_EQ(batch.correct, 0);
}

TEST_P(SoftmaxCrossEntropyOn, HugeLogitsAreNoOverflow) {
  Batch batch({{1e30f, 0, -1e30f}, {-3e38f, -3e38f, -3e38f}}, {0, 2});
  run(context, batch.operation());
  EXPECT_EQ(batch.losses[0], 0);
  EXPECT_NEAR(batch.losses[1], std::log(3.0), 1e-6);
  for (const float value : batch.dlogits) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(SoftmaxCrossEntropyOn, ANaNIsALossOfNaNAndNeverAHit) {
  for (const std::size_t where : {0u, 1u, 2u}) {
    for (const std::int32_t label : {0, 1, 2}) {
      Batch batch({{1, 2, 3}, {5, 4, 4}}, {label, 0});
      batch.logits[where] = kNaN;
      run(context, batch.operation());
      EXPECT_TRUE(std::isnan(batch.loss)) << where << label;
      EXPECT_TRUE(std::isnan(batch.losses[0])) << where << label;
      EXPECT_TRUE(std::isfinite(batch.losses[1])) << where << label;
      for (const std::size_t c : {0u, 1u, 2u}) EXPECT_TRUE(std::isnan(batch.dlogits[c])) << where << label << c;
      for (const std::size_t c : {3u, 4u, 5u}) EXPECT_TRUE(std::isfinite(batch.dlogits[c])) << where << label << c;
      EXPECT_EQ(batch.correct, 1) << where << label;
    }
  }
}

TEST_P(SoftmaxCrossEntropyOn, AnInfiniteLogitIsNoHiddenNumber) {
  Batch batch({{kInfinity, 0}, {0, -kInfinity}}, {1, 0});
  run(context, batch.operation());
  EXPECT_TRUE(std::isnan(batch.losses[0]));
  EXPECT_EQ(batch.losses[1], 0);
  EXPECT_EQ(batch.dlogits[3], 0);
}

TEST_P(SoftmaxCrossEntropyOn, OfEqualLogitsTheFirstCounts) {
  Batch batch({{2, 2, 1}, {2, 2, 1}, {1, 2, 2}, {1, 2, 2}, {3, 3, 3}}, {0, 1, 1, 2, 0});
  run(context, batch.operation());
  EXPECT_EQ(batch.correct, 3);
}

TEST_P(SoftmaxCrossEntropyOn, OutputsNotGivenAreLeftOut) {
  Batch batch({{1, 2}, {3, 1}}, {1, 0});
  auto operation = batch.operation();
  operation.losses = operation.dlogits = operation.correct = View();
  run(context, operation);
  EXPECT_NEAR(batch.loss, (std::log1p(std::exp(-1.0)) + std::log1p(std::exp(-2.0))) / 2, 1e-6);
  EXPECT_TRUE(std::isnan(batch.losses[0]));
  EXPECT_TRUE(std::isnan(batch.dlogits[0]));
  EXPECT_EQ(batch.correct, 77);
}

TEST_P(SoftmaxCrossEntropyOn, NamesWhatIsWrong) {
  const auto message_of = [&](const SoftmaxCrossEntropy& operation) -> std::string {
    try {
      run(context, operation);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  Batch batch({{1, 2, 3}, {3, 2, 1}}, {0, 3});
  EXPECT_EQ(message_of(batch.operation()), "[softmax_cross_entropy] the label of sample 1 is 3, expected 0 to 2: there are 3 classes");
  batch.labels = {-1, 0};
  EXPECT_EQ(message_of(batch.operation()), "[softmax_cross_entropy] the label of sample 0 is -1, expected 0 to 2: there are 3 classes");
  batch.labels = {0};
  EXPECT_EQ(message_of(batch.operation()), "[softmax_cross_entropy] labels is (1), expected (2): (N) of logits (2,3)");
  batch.labels = {0, 1};
  auto operation = batch.operation();
  operation.label_smoothing = 1;
  EXPECT_EQ(message_of(operation), "[softmax_cross_entropy] label_smoothing is 1, expected 0 or more and less than 1");
  operation = batch.operation();
  operation.correct = operation.loss;
  EXPECT_EQ(message_of(operation), "[softmax_cross_entropy] correct is f32, expected i32");
}

}  // namespace
}  // namespace isda::kernels
