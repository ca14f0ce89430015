// SPDX-License-Identifier: Apache-2.0
// The statistics of the classes: against the definition over all that was seen, in whatever batches, and merged from parts.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/common/grid.h"
#include "losses/isda.h"
#include "tests/core/card.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

constexpr std::int64_t kClasses = 5, kWidth = 4, kSamples = 24;

class Statistics : public testing::TestWithParam<Covariance> {
 protected:
  Statistics() {
    // Class 4 is never seen, class 3 once.
    for (std::int32_t i = 0; i < kSamples; ++i) labels.push_back(i == 17 ? 3 : i * i % 3);
    // Far from zero, where E[x^2] - E[x]^2 would cancel.
    for (std::int64_t i = 0; i < features.size(); ++i) features.view().set_offset(features.view().at_offset(i) + 100, i);
  }

  ClassStatistics fresh() const { return ClassStatistics(kClasses, kWidth, GetParam()); }

  // The samples begin ... end-1.
  void show(ClassStatistics& statistics, std::int64_t begin, std::int64_t end) const {
    const Tensor part({end - begin, kWidth}, DType::f64, Device::reference);
    for (std::int64_t i = 0; i < part.size(); ++i) part.view().set_offset(features.view().at_offset(begin * kWidth + i), i);
    statistics.update(part, labels_of({labels.begin() + begin, labels.begin() + end}));
  }

  // The definition: count, mean, biased covariance of each class over the samples 0 ... end-1.
  void expect_definition(const ClassStatistics& got, std::int64_t end) const {
    const View x = features;
    for (std::int64_t c = 0; c < kClasses; ++c) {
      double count = 0, mean[kWidth] = {}, covariance[kWidth][kWidth] = {};
      for (std::int64_t n = 0; n < end; ++n) count += labels[static_cast<std::size_t>(n)] == c;
      for (std::int64_t n = 0; n < end; ++n) {
        for (std::int64_t a = 0; a < kWidth && labels[static_cast<std::size_t>(n)] == c; ++a) mean[a] += x.at(n, a) / count;
      }
      for (std::int64_t n = 0; n < end; ++n) {
        for (std::int64_t a = 0; a < kWidth && labels[static_cast<std::size_t>(n)] == c; ++a) {
          for (std::int64_t b = 0; b < kWidth; ++b) covariance[a][b] += (x.at(n, a) - mean[a]) * (x.at(n, b) - mean[b]) / count;
        }
      }
      EXPECT_EQ(got.count.view().at(c), count) << "class " << c;
      for (std::int64_t a = 0; a < kWidth; ++a) {
        EXPECT_NEAR(got.mean.view().at(c, a), mean[a], 1e-12) << "class " << c;
        if (GetParam() == Covariance::diagonal) {
          EXPECT_NEAR(got.covariance.view().at(c, a), covariance[a][a], 1e-12) << "class " << c;
        }
        if (GetParam().kind == Covariance::Kind::low_rank) {
          // NOTE: the diagonal is exact whatever was given up.
          double sum = got.covariance.view().at(c, 0, a);
          EXPECT_GE(sum, 0) << "class " << c;
          for (std::int64_t r = 1; r <= GetParam().directions; ++r) sum += std::pow(got.covariance.view().at(c, r, a), 2);
          EXPECT_NEAR(sum, covariance[a][a], 1e-12) << "class " << c;
        }
        for (std::int64_t b = 0; b < kWidth && GetParam() == Covariance::full; ++b) {
          EXPECT_NEAR(got.covariance.view().at(c, a, b), covariance[a][b], 1e-12) << "class " << c;
        }
      }
    }
  }

  const PlacementScope scope{kExact};
  const Tensor features = random_tensor({kSamples, kWidth}, 1);
  std::vector<std::int32_t> labels;
};

TEST_P(Statistics, StartAtNothing) {
  const ClassStatistics statistics = fresh();
  expect_definition(statistics, 0);
  EXPECT_EQ(statistics.kind(), GetParam());
  EXPECT_EQ(statistics.covariance.shape().rank(), GetParam() == Covariance::diagonal ? 2 : 3);
  const auto state = statistics.state();
  ASSERT_EQ(state.size(), 3u);
  EXPECT_EQ(state[0].name, "count");
  EXPECT_EQ(state[1].name, "mean");
  EXPECT_EQ(state[2].name, "covariance");
  EXPECT_EQ(state[2].tensor.view().data(), statistics.covariance.view().data());
}

TEST_P(Statistics, AreThoseOfAllSamplesWhateverTheBatches) {
  for (const std::int64_t size : {1, 5, 24}) {
    SCOPED_TRACE(size);
    ClassStatistics statistics = fresh();
    for (std::int64_t begin = 0; begin < kSamples; begin += size) {
      const std::int64_t end = std::min(begin + size, kSamples);
      show(statistics, begin, end);
      expect_definition(statistics, end);
    }
  }
}

TEST_P(Statistics, MergeOfPartsIsThePassOverAll) {
  for (const std::int64_t cut : {0, 1, 9, 18, 24}) {
    SCOPED_TRACE(cut);
    ClassStatistics first = fresh(), second = fresh();
    if (cut > 0) show(first, 0, cut);
    if (cut < kSamples) show(second, cut, kSamples);
    const Tensor seen = second.covariance.clone();
    ClassStatistics first_of_second = fresh();
    first_of_second.merge(second);
    first_of_second.merge(first);
    first.merge(second);
    expect_definition(first, kSamples);
    expect_definition(first_of_second, kSamples);
    EXPECT_EQ(relative_error(second.covariance, seen), 0) << "what is merged stays as it was";
  }
}

TEST_P(Statistics, MergeWithNothingChangesNoBit) {
  ClassStatistics statistics = fresh();
  show(statistics, 0, kSamples);
  const Tensor covariance = statistics.covariance.clone(), mean = statistics.mean.clone();
  statistics.merge(fresh());
  EXPECT_EQ(relative_error(statistics.covariance, covariance), 0);
  EXPECT_EQ(relative_error(statistics.mean, mean), 0);
}

TEST_P(Statistics, MergeRefusesOtherShapes) {
  ClassStatistics statistics = fresh();
  const Covariance other = GetParam() == Covariance::full ? Covariance::diagonal : Covariance::full;
  expect_error([&] { statistics.merge(ClassStatistics(kClasses, kWidth, other)); }, "[isda] statistics of shape");
  expect_error([&] { statistics.merge(ClassStatistics(kClasses + 1, kWidth, GetParam())); }, "cannot be merged into");
}

INSTANTIATE_TEST_SUITE_P(All, Statistics, testing::Values(Covariance::full, Covariance::diagonal, Covariance::low_rank(1), Covariance::low_rank(2)),
                         [](const auto& kind) { return kind.param.directions > 0 ? fmt::format("lowrank{}", kind.param.directions) : kind.param.text(); });

class StatisticsOnTheCard : public OnTheCardTest, public testing::WithParamInterface<Covariance> {};

TEST_P(StatisticsOnTheCard, MergeAsOnTheHost) {
  const auto merged_on = [&](Device device) {
    const PlacementScope scope({device, DType::f32});
    ClassStatistics first(2, 6, GetParam()), second(2, 6, GetParam());
    first.update(random_tensor({4, 6}, 3, {device, DType::f32}), labels_of({0, 1, 0, 0}, device));
    second.update(random_tensor({4, 6}, 4, {device, DType::f32}), labels_of({0, 0, 0, 0}, device));
    first.merge(second);
    std::vector<Tensor> result;
    for (const auto& [name, tensor] : first.state()) result.push_back(tensor.on_host());
    return result;
  };
  const auto expected = merged_on(Device::cpu), got = merged_on(Device::cuda);
  expect_close(got[0], expected[0], 1e-6, "count");
  expect_close(got[1], expected[1], 1e-6, "mean");
  // NOTE: directions are known up to their signs: compared is the covariance that they stand for.
  const auto meant = [](const Tensor& covariance) {
    if (GetParam().directions == 0) return covariance;
    const View S = covariance;
    const Tensor full({2, 6, 6});
    for (const auto [c, a, b] : grid(2, 6, 6)) {
      double sum = a == b ? S.at(c, 0, a) : 0;
      for (std::int64_t r = 1; r < S.extent(1); ++r) sum += S.at(c, r, a) * S.at(c, r, b);
      full.view().set(sum, c, a, b);
    }
    return full;
  };
  expect_close(meant(got[2]), meant(expected[2]), 2e-6, "covariance");
}

INSTANTIATE_TEST_SUITE_P(All, StatisticsOnTheCard, testing::Values(Covariance::full, Covariance::diagonal, Covariance::low_rank(3)),
                         [](const auto& kind) { return kind.param.directions > 0 ? std::string("low_rank") : kind.param.text(); });

// Where the directions of both parts have room together, what is merged is the full covariance.
TEST(LowRankStatistics, AMergeWithRoomForAllIsExact) {
  constexpr std::int64_t kA = 9;
  const PlacementScope scope(kExact);
  ClassStatistics full(2, kA, Covariance::full), all(2, kA, Covariance::low_rank(6)), part(2, kA, Covariance::low_rank(6));
  // Three samples of class 0 to one part, four to the other: five directions, and the one between the means.
  const Tensor first = random_tensor({4, kA}, 3), second = random_tensor({4, kA}, 4);
  for (ClassStatistics* statistics : {&full, &all}) statistics->update(first, labels_of({0, 1, 0, 0}));
  for (ClassStatistics* statistics : {&full, &part}) statistics->update(second, labels_of({0, 0, 0, 0}));
  all.merge(part);
  const View S = all.covariance;
  for (std::int64_t c = 0; c < 2; ++c) {
    for (std::int64_t a = 0; a < kA; ++a) {
      for (std::int64_t b = 0; b < kA; ++b) {
        double sum = a == b ? S.at(c, 0, a) : 0;
        for (std::int64_t r = 1; r <= 6; ++r) sum += S.at(c, r, a) * S.at(c, r, b);
        EXPECT_NEAR(sum, full.covariance.view().at(c, a, b), 1e-13) << c << " " << a << " " << b;
      }
      EXPECT_NEAR(S.at(c, 0, a), 0, 1e-25) << c << " " << a;
    }
  }
}

}  // namespace
}  // namespace isda
