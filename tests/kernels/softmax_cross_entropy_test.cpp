// SPDX-License-Identifier: Apache-2.0
// What the case of kernels/softmax_cross_entropy cannot see: NaN, infinities, ties, and what is said about wrong arguments.
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "tests/kernels/on_card.h"
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

// ---- on the card ----

// `rows` of logits of C classes; the classes that a row does not give are -20 - c / 64.
SoftmaxCrossEntropy described(Problem& p, std::int64_t C, const std::vector<std::vector<double>>& rows, const std::vector<double>& labels, double smoothing) {
  std::vector<double> logits;
  for (const auto& row : rows) {
    logits.insert(logits.end(), row.begin(), row.end());
    for (auto c = static_cast<std::int64_t>(row.size()); c < C; ++c) logits.push_back(-20 - static_cast<double>(c) / 64);
  }
  const auto N = static_cast<std::int64_t>(rows.size());
  return {.logits = p.input("logits", {N, C}, given(logits)),
          .labels = p.integers("labels", {N}, given(labels)),
          .label_smoothing = smoothing,
          .loss = p.parameter_output("loss", {1}),
          .losses = p.parameter_output("losses", {N}),
          .dlogits = p.output("dlogits", {N, C}),
          .correct = p.integer_output("correct", {1})};
}

TEST(SoftmaxCrossEntropyOnCard, NaNInfinitiesTiesAndHugeLogits) {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  // Classes for a warp with idle lanes, for a warp, and for a block.
  for (const std::int64_t C : {3, 40, 600}) {
    for (const double smoothing : {0.0, 0.1}) {
      expect_as_reference_on_card(
          [&](Problem& p) {
            p.forward(described(p, C,
                                {{nan, 2, 3},
                                 {1, nan, 3},
                                 {1, 2, nan},
                                 {1, nan, 3},
                                 {infinity, 0, 1},
                                 {0, -infinity, 0},
                                 {-infinity, 0, 0},
                                 {1e30, 0, -1e30},
                                 {2, 2, 1},
                                 {2, 2, 1},
                                 {1, 2, 2},
                                 {1, 2, 2},
                                 {3, 3, 3},
                                 {90, 0, 1}},
                                {0, 1, 2, 2, 1, 0, 0, 0, 0, 1, 1, 2, 0, 0}, smoothing));
          },
          1e-6);
    }
  }
}

TEST(SoftmaxCrossEntropyOnCard, ALossOfASureNetworkKeepsItsDigits) {
  // exp(-20) is far below the spacing of f32 at 1.
  Problem p(DType::f32, 1, Device::cuda);
  p.forward(described(p, 2, {{0, -20}}, {0}, 0));
  p.run(Context(Device::cuda));
  EXPECT_NEAR(value_of(p, "loss", 0) / std::exp(-20), 1, 1e-5);
  EXPECT_NEAR(value_of(p, "dlogits", 0) / -std::exp(-20), 1, 1e-5);
  EXPECT_NEAR(value_of(p, "dlogits", 1) / std::exp(-20), 1, 1e-5);
}

TEST(SoftmaxCrossEntropyOnCard, ALabelOutOfRangeIsALossOfNaNAndNoHit) {
  for (const std::int64_t C : {3, 600}) {
    for (const double wrong : {-1.0, static_cast<double>(C), -2147483648.0, 2147483647.0}) {
      Problem p(DType::f32, 1, Device::cuda);
      p.forward(described(p, C, {{1, 2, 3}, {1, 2, 3}}, {2, wrong}, 0.1));
      p.run(Context(Device::cuda));
      EXPECT_TRUE(std::isnan(value_of(p, "loss", 0)) && std::isnan(value_of(p, "losses", 1))) << C << " " << wrong;
      EXPECT_TRUE(std::isfinite(value_of(p, "losses", 0))) << C << " " << wrong;
      for (std::int64_t i = 0; i < 2 * C; ++i) ASSERT_EQ(std::isnan(value_of(p, "dlogits", i)), i >= C) << C << " " << wrong << " " << i;
      EXPECT_EQ(value_of(p, "correct", 0), 1) << C << " " << wrong;
      EXPECT_NO_THROW(p.check_sentinels());
    }
  }
}

}  // namespace
}  // namespace isda::kernels
