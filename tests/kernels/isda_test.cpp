// SPDX-License-Identifier: Apache-2.0
// What the cases of kernels/isda cannot see: statistics over many batches against all samples seen so far, and which bits may not change.
#include "kernels/isda/isda.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/linear/linear.h"
#include "tests/kernels/checker.h"
#include "tests/kernels/isda_head.h"

namespace isda::kernels {
namespace {

using namespace isda_test;

// Every sample seen, and the statistics of a class computed from all of them at once.
class History {
 public:
  History(std::int64_t classes, std::int64_t width) : samples_(static_cast<std::size_t>(classes)), A_(static_cast<std::size_t>(width)) {}

  void append(const Head& head) {
    for (std::int64_t i = 0; i < head.N; ++i) {
      std::vector<double> sample;
      for (std::int64_t a = 0; a < head.A; ++a) sample.push_back(head.features[i * head.A + a]);
      samples_[static_cast<std::size_t>(head.labels[i])].push_back(sample);
    }
  }

  // The largest error of the statistics of `head`, as a share of the largest magnitude of each of mean and covariance.
  double error(const Head& head) const {
    double mean_error = 0, mean_scale = 1e-300, spread_error = 0, spread_scale = 1e-300;
    const auto worse = [](double& worst, double value) { worst = std::isnan(value) ? std::numeric_limits<double>::infinity() : std::max(worst, value); };
    for (std::size_t c = 0; c < samples_.size(); ++c) {
      const double n = static_cast<double>(samples_[c].size());
      if (head.count[static_cast<std::int64_t>(c)] != n) return std::numeric_limits<double>::infinity();
      std::vector<double> mean(A_, 0.0);
      for (const auto& sample : samples_[c]) {
        for (std::size_t a = 0; a < A_; ++a) mean[a] += sample[a] / n;
      }
      for (std::size_t a = 0; a < A_; ++a) {
        worse(mean_error, std::abs(head.mean[static_cast<std::int64_t>(c * A_ + a)] - mean[a]));
        mean_scale = std::max(mean_scale, std::abs(mean[a]));
        for (std::size_t b = 0; b < A_; ++b) {
          // NOTE: with low rank the diagonal alone is exact.
          if (!head.is_full && a != b) continue;
          double spread = 0;
          for (const auto& sample : samples_[c]) spread += (sample[a] - mean[a]) * (sample[b] - mean[b]) / n;
          const double found = head.covariance_at(static_cast<std::int64_t>(c), static_cast<std::int64_t>(a), static_cast<std::int64_t>(b));
          worse(spread_error, std::abs(found - spread));
          spread_scale = std::max(spread_scale, std::abs(spread));
        }
      }
    }
    return std::max(mean_error / mean_scale, spread_error / spread_scale);
  }

 private:
  std::vector<std::vector<std::vector<double>>> samples_;
  std::size_t A_;
};

struct Way {
  Device device;
  DType type;
  bool is_full, is_fused;
  bool is_low_rank = false;
};

// Directions for so many features.
std::int64_t directions_for(std::int64_t A) { return std::min<std::int64_t>(3, A - 2); }

class IsdaOn : public testing::TestWithParam<Way> {
 protected:
  Way way() const { return GetParam(); }
  Context context{GetParam().device, 2};
  Head head(std::int64_t N, std::int64_t C, std::int64_t A) const {
    return Head(way().type, N, C, A, way().is_full, way().is_low_rank ? directions_for(A) : 0);
  }
  void update(const Head& head) const {
    if (way().is_fused)
      compute(context, head, &Head::update_forward);
    else
      compute(context, head, &Head::update);
  }
  void forward(const Head& head) const {
    if (way().is_fused)
      compute(context, head, &Head::update_forward);
    else
      compute(context, head, &Head::forward);
  }
  // To the bit where it is fast; the reference may round a product and a sum once or twice, as its compiler likes.
  void expect_same(const Array& actual, const Array& expected) const {
    if (way().device != Device::reference) {
      EXPECT_TRUE(actual == expected);
    } else {
      EXPECT_EQ(difference(actual.view(), expected.view(), 1e-14), "");
    }
  }
};

std::vector<Way> ways() {
  std::vector<Way> result = {
      {Device::reference, DType::f64, true, false}, {Device::reference, DType::f64, false, false}, {Device::reference, DType::f64, false, false, true}};
  for (const Device device : {Device::cpu, Device::cuda}) {
    if (device == Device::cuda && !cuda::card().is_usable) continue;
    for (const bool is_fused : {false, true}) {
      for (const bool is_full : {true, false}) result.push_back({device, DType::f32, is_full, is_fused});
      result.push_back({device, DType::f32, false, is_fused, true});
    }
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Ways, IsdaOn, testing::ValuesIn(ways()), [](const auto& way) {
  const char* kind = way.param.is_low_rank ? "low_rank" : way.param.is_full ? "full" : "diagonal";
  return fmt::format("{}_{}{}", name_of(way.param.device), kind, way.param.is_fused ? "_fused" : "");
});

TEST_P(IsdaOn, StatisticsAreThoseOfAllSamplesSoFar) {
  // Classes 3 and 6 never come, 4 and 5 come late; some come as single samples; the mean is far from zero.
  const std::vector<std::vector<int>> batches = {{0, 1, 1, 2, 1, 0}, {2, 2, 0, 0, 1, 2}, {4, 1, 0, 0, 0, 0}, {5, 4, 4, 2, 1, 0}, {4, 4, 4, 4, 4, 4}};
  const Head head = this->head(6, 7, 37);
  Random random;
  random.fill(head.weight);
  History history(head.C, head.A);
  for (const auto& batch : batches) {
    random.fill(head.features, 8);
    for (std::size_t i = 0; i < batch.size(); ++i) head.labels.set(static_cast<std::int64_t>(i), batch[i]);
    history.append(head);
    update(head);
    EXPECT_LE(history.error(head), way().type == DType::f64 ? 1e-13 : 1e-6);
  }
  for (const int c : {3, 6}) EXPECT_EQ(head.count[c], 0);
}

TEST_P(IsdaOn, DoesNotDriftOverManySteps) {
  constexpr std::int64_t kClasses = 3;
  const bool is_slow = way().device == Device::reference || (way().device == Device::cuda && cuda::card().is_emulated);
  const int steps = is_slow ? 100 : 3000;
  const Head head = this->head(16, kClasses, 9);
  Random random;
  random.fill(head.weight);
  History history(kClasses, head.A);
  for (int step = 0; step < steps; ++step) {
    random.fill(head.features, 4);
    random.label(head.labels, kClasses);
    history.append(head);
    update(head);
  }
  EXPECT_LE(history.error(head), way().type == DType::f64 ? 1e-13 : 4e-6);
}

TEST_P(IsdaOn, AbsentClassesKeepEveryBit) {
  const Head head = this->head(9, 5, 21);
  Random random;
  random.everything(head);
  random.label(head.labels, 3);
  const std::int64_t A = head.A, S = head.spread();
  random.fill(head.covariance);
  random.fill(head.mean);
  for (const std::int64_t c : {3, 4}) {
    head.count.set(c, c == 3 ? kNaN : -0.0);
    head.mean.set(c * A, kNaN);
    head.covariance.set(c * S + 1, kNaN);
  }
  const Head before = head;
  update(head);
  EXPECT_EQ(head.count.bits(3, 2), before.count.bits(3, 2));
  EXPECT_EQ(head.mean.bits(3 * A, 2 * A), before.mean.bits(3 * A, 2 * A));
  EXPECT_EQ(head.covariance.bits(3 * S, 2 * S), before.covariance.bits(3 * S, 2 * S));
  EXPECT_NE(head.covariance.bits(0, S), before.covariance.bits(0, S));
}

TEST_P(IsdaOn, ANaNInAFeatureReachesNoClassButItsOwn) {
  Head clean = head(24, 4, 19);
  Random random;
  random.everything(clean);
  clean.labels.set(5, 2);
  Head spoilt = clean;
  spoilt.features.set(5 * clean.A + 3, kNaN);
  for (const Head* head : {&clean, &spoilt}) {
    update(*head);
    forward(*head);
  }
  const std::int64_t A = clean.A, C = clean.C, S = clean.spread();
  bool is_reported = false;
  for (std::int64_t c = 0; c < C; ++c) {
    if (c == 2) continue;
    EXPECT_EQ(spoilt.mean.bits(c * A, A), clean.mean.bits(c * A, A)) << c;
    EXPECT_EQ(spoilt.covariance.bits(c * S, S), clean.covariance.bits(c * S, S)) << c;
    if (clean.kept_u()) {
      const std::int64_t U = clean.u.view().size() / C;
      EXPECT_EQ(spoilt.u.bits(c * U, U), clean.u.bits(c * U, U)) << c;
    }
  }
  for (std::int64_t i = 0; i < clean.N; ++i) {
    if (clean.labels[i] != 2)
      EXPECT_EQ(spoilt.augmented.bits(i * C, C), clean.augmented.bits(i * C, C)) << i;
    else
      is_reported = is_reported || std::isnan(spoilt.augmented[i * C]);
  }
  EXPECT_TRUE(is_reported);
  EXPECT_TRUE(std::isnan(spoilt.mean[2 * A + 3]));
}

TEST_P(IsdaOn, RatioZeroIsPlainCrossEntropyBitForBit) {
  const Head head = this->head(13, 5, 18);
  Random random;
  random.everything(head);
  head.ratio.set(0, 0);
  // An infinite covariance has no say either.
  if (!way().is_fused) head.covariance.set(1, std::numeric_limits<double>::infinity());
  forward(head);
  EXPECT_TRUE(head.augmented == head.logits);
  compute(context, head, &Head::backward);

  const Array y(way().type, {13, 5}), dx(way().type, {13, 18}), dweight(way().type, {5, 18}), dbias(way().type, {5});
  std::vector<const Array*> arrays = head.arrays();
  arrays.insert(arrays.end(), {&y, &dx, &dweight, &dbias});
  compute(context, arrays, [&] { return Linear{.x = head.features, .weight = head.weight, .bias = head.bias, .y = y}; });
  compute(context, arrays,
          [&] { return LinearBackward{.dy = head.daugmented, .x = head.features, .weight = head.weight, .dx = dx, .dweight = dweight, .dbias = dbias}; });
  expect_same(head.logits, y);
  expect_same(head.dfeatures, dx);
  expect_same(head.dweight, dweight);
  expect_same(head.dbias, dbias);
}

TEST_P(IsdaOn, AClassIsNotCorrectedAgainstItself) {
  const Head head = this->head(30, 5, 33);
  Random random;
  random.everything(head);
  update(head);
  forward(head);
  for (std::int64_t i = 0; i < head.N; ++i) {
    const std::int64_t at = i * head.C + static_cast<std::int64_t>(head.labels[i]);
    EXPECT_EQ(head.augmented[at], head.logits[at]) << i;
    EXPECT_NE(head.augmented[at], 0) << i;
  }
  for (std::int64_t c = 0; c < head.C && head.kept_u(); ++c) {
    for (std::int64_t a = 0; a < head.u.view().extent(2); ++a) EXPECT_EQ(head.u.view().at(static_cast<std::int64_t>(head.slots[c]), c, a), 0);
  }
}

TEST_P(IsdaOn, TheCovarianceStaysSymmetricToTheBit) {
  if (!way().is_full) return;
  const Head head = this->head(14, 2, 70);
  Random random;
  for (int step = 0; step < 5; ++step) {
    random.everything(head);
    update(head);
  }
  for (std::int64_t c = 0; c < head.C; ++c) {
    for (std::int64_t a = 0; a < head.A; ++a) {
      for (std::int64_t b = 0; b < a; ++b) {
        ASSERT_EQ(head.covariance[(c * head.A + a) * head.A + b], head.covariance[(c * head.A + b) * head.A + a]) << a << " " << b;
      }
    }
  }
}

TEST_P(IsdaOn, SlotsNumberThePresentClassesInOrder) {
  const Head head = this->head(4, 6, 3);
  Random random;
  random.everything(head);
  const std::vector<int> labels = {4, 1, 4, 0}, slots = {0, 1, -1, -1, 2, -1};
  for (std::size_t i = 0; i < labels.size(); ++i) head.labels.set(static_cast<std::int64_t>(i), labels[i]);
  forward(head);
  for (std::size_t c = 0; c < slots.size(); ++c) EXPECT_EQ(head.slots[static_cast<std::int64_t>(c)], slots[c]) << c;
}

// Full, diagonal, low rank: is_full, R.
const std::pair<bool, std::int64_t> kKinds[] = {{true, 0}, {false, 0}, {false, 5}};

TEST(Isda, FusedIsTheSameAsOneAfterTheOther) {
  for (const Device device : {Device::cpu, Device::cuda}) {
    if (device == Device::cuda && !cuda::card().is_usable) continue;
    for (const auto& [is_full, R] : kKinds) {
      const Head apart(DType::f32, 40, 11, 83, is_full, R);
      Random random;
      random.everything(apart);
      random.fill(apart.covariance);
      const Head fused = apart;
      const Context context(device, 2);
      compute(context, apart, &Head::update);
      compute(context, apart, &Head::forward);
      compute(context, fused, &Head::update_forward);
      EXPECT_TRUE(fused.count == apart.count);
      EXPECT_TRUE(fused.mean == apart.mean);
      EXPECT_TRUE(fused.covariance == apart.covariance);
      EXPECT_TRUE(fused.logits == apart.logits);
      EXPECT_TRUE(fused.augmented == apart.augmented);
      EXPECT_TRUE(fused.slots == apart.slots);
      EXPECT_TRUE(fused.u == apart.u);
    }
  }
}

TEST(Isda, TakesNoMoreMemoryForAnotherBatchOfTheSameShape) {
  for (const auto& [is_full, R] : kKinds) {
    const Head head(DType::f32, 60, 60, 30, is_full, R);
    const auto step = [&](const Context& context, int classes) {
      Random().label(head.labels, classes);
      run(context, head.update());
      run(context, head.update_forward());
      run(context, head.backward());
    };
    // Whether the step fits into what a step with one class has allocated, of which `held` times 64 bytes are in use already.
    const auto fits = [&](std::int64_t held, int classes) {
      const Context context(Device::cpu, 2);
      step(context, 1);
      const auto capacity = context.arena().capacity();
      Scratch scratch = context.scratch();
      scratch.take<std::byte>(64 * held);
      step(context, classes);
      return context.arena().capacity() == capacity;
    };
    // Hold as much as leaves room for a step with one class.
    std::int64_t most = 0, too_many = 1 << 20;
    ASSERT_TRUE(fits(most, 1));
    ASSERT_FALSE(fits(too_many, 1));
    while (too_many - most > 1) {
      const std::int64_t middle = (most + too_many) / 2;
      (fits(middle, 1) ? most : too_many) = middle;
    }
    EXPECT_TRUE(fits(most, 60)) << head.covariance.view().shape().text();
  }
}

}  // namespace
}  // namespace isda::kernels
