// SPDX-License-Identifier: Apache-2.0
// The ISDA loss with the pass over the covariances ahead of it: the loss is the same, whether it was prepared or not, and what reads the statistics finds
// them as if nothing were pending. And how far the loss moves the logits.
#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd.h"
#include "losses/cross_entropy.h"
#include "losses/isda.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

constexpr std::int64_t kClasses = 5, kWidth = 4;

// Batches as training brings them: of changing classes, with more of one than are kept pending, the last one smaller.
const std::vector<std::vector<std::int32_t>> kBatches = {{1, 0, 1, 3, 1, 3, 0, 1}, {2, 2, 2, 2, 2, 2, 2, 2}, {2, 4, 0, 0, 0, 1, 1, 1}, {4, 4, 2}};

struct Outcome {
  double loss;
  Tensor dfeatures, dweight;
};

Outcome outcome(Loss& loss, const Linear& classifier, std::size_t batch, bool is_prepared) {
  const Tensor labels = labels_of(kBatches[batch], Device::reference);
  const Tensor features = random_parameter({labels.size(), kWidth}, 20 + batch, kExact);
  randomise(classifier, 3 + batch);
  clear_gradient(classifier.weight);
  if (is_prepared) loss.prepare(classifier, labels);
  const Tensor value = loss(features, classifier, labels).loss;
  backward(value);
  return {value.item(), gradient_of(features).clone(), gradient_of(classifier.weight).clone()};
}

class IsdaAhead : public testing::Test {
 protected:
  const PlacementScope scope{kExact};
  const Linear classifier{kWidth, kClasses};
};

TEST_F(IsdaAhead, IsTheSameLossPreparedOrNot) {
  IsdaLoss inside(kClasses, kWidth, 1), prepared(kClasses, kWidth, 1, Covariance::full, 8), asked(kClasses, kWidth, 1, Covariance::full, 8);
  for (IsdaLoss* loss : {&inside, &prepared, &asked}) loss->set_ratio(0.7);
  for (std::size_t batch = 0; batch < kBatches.size(); ++batch) {
    const Outcome expected = outcome(inside, classifier, batch, true);
    for (const bool is_prepared : {true, false}) {
      const Outcome got = outcome(is_prepared ? prepared : asked, classifier, batch, is_prepared);
      EXPECT_NEAR(got.loss, expected.loss, 1e-13) << batch;
      expect_close(got.dfeatures, expected.dfeatures, 1e-13, "gradient of the features");
      expect_close(got.dweight, expected.dweight, 1e-13, "gradient of the weight");
    }
  }
  for (IsdaLoss* loss : {&prepared, &asked}) {
    const auto state = loss->state(), expected = inside.state();
    ASSERT_EQ(state.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) expect_close(state[i].tensor, expected[i].tensor, 1e-13, state[i].name);
  }
}

TEST_F(IsdaAhead, WhoReadsTheStatisticsFindsThemComplete) {
  IsdaLoss inside(kClasses, kWidth, 1), ahead(kClasses, kWidth, 1, Covariance::full, 8);
  for (IsdaLoss* loss : {&inside, &ahead}) outcome(*loss, classifier, 0, true);
  expect_close(ahead.statistics().covariance, inside.statistics().covariance, 1e-13, "covariance");
  // Another batch that goes in by update(), and the statistics of others by merge().
  const Tensor more = random_tensor({3, kWidth}, 9, kExact), labels = labels_of({0, 0, 4}, Device::reference);
  ClassStatistics a(kClasses, kWidth, Covariance::full), b(kClasses, kWidth, Covariance::full, 8);
  for (ClassStatistics* statistics : {&a, &b}) {
    statistics->update(more, labels);
    outcome(ahead, classifier, 1, true);
    statistics->merge(ahead.statistics());
  }
  IsdaLoss again(kClasses, kWidth, 1);
  outcome(again, classifier, 0, true);
  outcome(again, classifier, 1, true);
  ClassStatistics expected(kClasses, kWidth, Covariance::full);
  expected.update(more, labels);
  expected.merge(again.statistics());
  expect_close(a.covariance, expected.covariance, 1e-12, "covariance");
}

TEST_F(IsdaAhead, IsForFullCovariancesAndForBatchesOfTheSizeGiven) {
  expect_error([&] { IsdaLoss(kClasses, kWidth, 1, Covariance::diagonal, 8); }, "only full covariances are passed over ahead");
  IsdaLoss small(kClasses, kWidth, 1, Covariance::full, 2);
  expect_error([&] { outcome(small, classifier, 0, true); }, "pending.rows");
}

TEST_F(IsdaAhead, CorrectionIsTheMeanMoveOfTheOthersLogits) {
  IsdaLoss loss(kClasses, kWidth, 1);
  const CrossEntropyLoss plain;
  outcome(loss, classifier, 0, true);
  const Tensor features = random_tensor({4, kWidth}, 11, kExact), labels = labels_of({1, 0, 3, 1}, Device::reference);
  loss.set_ratio(0);
  EXPECT_EQ(loss.correction(features, classifier, labels), 0);
  EXPECT_EQ(plain.correction(features, classifier, labels), 0);

  const double ratio = 0.8;
  loss.set_ratio(ratio);
  const View x = features, w = classifier.weight, b = classifier.bias, s = loss.statistics().covariance;
  double moved = 0, magnitude = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto y = static_cast<std::int64_t>(labels.view().at(i));
    for (std::int64_t j = 0; j < kClasses; ++j) {
      double z = b.at(j), q = 0;
      for (std::int64_t a = 0; a < kWidth; ++a) {
        z += w.at(j, a) * x.at(i, a);
        for (std::int64_t c = 0; c < kWidth; ++c) q += (w.at(j, a) - w.at(y, a)) * s.at(y, a, c) * (w.at(j, c) - w.at(y, c));
      }
      magnitude += std::abs(z) / (4 * kClasses);
      if (j != y) moved += ratio / 2 * q / (4 * (kClasses - 1));
    }
  }
  EXPECT_GT(moved, 0.01);
  EXPECT_NEAR(loss.correction(features, classifier, labels), moved / magnitude, 1e-12);
}

}  // namespace
}  // namespace isda
