// SPDX-License-Identifier: Apache-2.0
// Covariances of low rank, by what they mean: S_c = diag(d_c) + V_c^T V_c, since V_c is known up to signs and rotations. Each test is an invariant that
// kernels/isda/low_rank.h states, on every device.
#include "kernels/isda/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/isda_head.h"

#if defined(ISDA_EMULATED)
#include "tests/kernels/emulated_orders.h"
#endif

namespace isda::kernels {
namespace {

using namespace isda_test;

struct Way {
  Device device;
  DType type;
  double rounding;  // allowed error of a statistic, as a share of the largest one
};

class LowRank : public testing::TestWithParam<Way> {
 protected:
  const Way way = GetParam();
  const Context context{GetParam().device, 2};
  bool is_slow() const { return way.device == Device::reference || (way.device == Device::cuda && cuda::card().is_emulated); }

  Head head(std::int64_t N, std::int64_t C, std::int64_t A, std::int64_t R) const { return Head(way.type, N, C, A, false, R); }
  Head full(const Head& of) const { return Head(way.type, of.N, of.C, of.A, true); }
  void update(const Head& head) const { compute(context, head, &Head::update); }

  // The same batch to another head, and both are updated.
  void update_both(const Head& head, const Head& other) const {
    for (std::int64_t i = 0; i < head.features.view().size(); ++i) other.features.set(i, head.features[i]);
    for (std::int64_t i = 0; i < head.N; ++i) other.labels.set(i, head.labels[i]);
    update(head);
    update(other);
  }
};

std::vector<Way> ways() {
  std::vector<Way> result = {{Device::reference, DType::f64, 1e-13}, {Device::cpu, DType::f32, 2e-6}};
  if (cuda::card().is_usable) result.push_back({Device::cuda, DType::f32, 2e-6});
  return result;
}

INSTANTIATE_TEST_SUITE_P(Ways, LowRank, testing::ValuesIn(ways()), [](const auto& way) { return std::string(name_of(way.param.device)); });

// The largest difference of two covariances over the largest magnitude; of the diagonals alone where `is_of_diagonal`.
double error(const Head& actual, const Head& expected, bool is_of_diagonal = false) {
  double worst = 0, scale = 0;
  for (std::int64_t c = 0; c < actual.C; ++c) {
    for (std::int64_t a = 0; a < actual.A; ++a) {
      for (std::int64_t b = is_of_diagonal ? a : 0; b < (is_of_diagonal ? a + 1 : actual.A); ++b) {
        const double difference = std::abs(actual.covariance_at(c, a, b) - expected.covariance_at(c, a, b));
        if (!std::isfinite(difference)) return difference;
        worst = std::max(worst, difference);
        scale = std::max(scale, std::abs(expected.covariance_at(c, a, b)));
      }
    }
  }
  return worst / scale;
}

// Features about 3 along `rank` directions, the first the longest, with a little of all others.
class Source {
 public:
  Source(std::int64_t A, std::int64_t rank, double noise) : directions_(DType::f64, {rank, A}), A_(A), rank_(rank), noise_(noise) { random_.fill(directions_); }
  void fill(const Head& head) {
    const Array along(DType::f64, {rank_});
    random_.fill(head.features, 3, noise_);
    for (std::int64_t i = 0; i < head.N; ++i) {
      random_.fill(along);
      for (std::int64_t a = 0; a < A_; ++a) {
        double value = head.features[i * A_ + a];
        for (std::int64_t r = 0; r < rank_; ++r) value += along[r] * directions_[r * A_ + a] / static_cast<double>(1 + r);
        head.features.set(i * A_ + a, value);
      }
    }
    random_.label(head.labels, head.C);
  }

 private:
  Random random_;
  Array directions_;
  std::int64_t A_, rank_;
  double noise_;
};

TEST_P(LowRank, TheDiagonalIsThatOfTheDiagonalVariant) {
  // Directions far fewer than the features have; so something is given up in every step.
  const Head head = this->head(12, 3, 26, 4), diagonal(way.type, 12, 3, 26, false);
  Source source(26, 20, 0.3);
  const int steps = is_slow() ? 60 : 2000;
  for (int step = 0; step < steps; ++step) {
    source.fill(head);
    update_both(head, diagonal);
    if (step % 20 != 0) continue;
    ASSERT_LE(error(head, diagonal, true), way.rounding) << step;
  }
  EXPECT_LE(error(head, diagonal, true), way.rounding);
  EXPECT_TRUE(head.count == diagonal.count);
  EXPECT_TRUE(head.mean == diagonal.mean);
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t a = 0; a < 26; ++a) EXPECT_GT(head.covariance.view().at(c, 0, a), 0);
  }
}

TEST_P(LowRank, WithRoomForAllThatWasSeenItIsTheFullCovariance) {
  // Two classes of 3 directions in 20 features, over many batches; the second one's first sample comes alone, and late.
  const Head head = this->head(9, 2, 20, 3), full = this->full(head);
  Source source(20, 3, 0);
  for (int step = 0; step < 12; ++step) {
    source.fill(head);
    for (std::int64_t i = 0; i < head.N && step < 5; ++i) head.labels.set(i, step == 4 && i == 2 ? 1 : 0);
    update_both(head, full);
    ASSERT_LE(error(head, full), 3 * way.rounding) << step;
  }
  for (std::int64_t c = 0; c < 2; ++c) {
    for (std::int64_t a = 0; a < 20; ++a) EXPECT_LE(head.covariance.view().at(c, 0, a), way.rounding * full.covariance_at(c, a, a));
  }
}

TEST_P(LowRank, KeepsTheBestOfWhatAStepSaw) {
  constexpr std::int64_t kA = 18, kR = 4;
  const Head head = this->head(11, 1, kA, kR), full(DType::f64, 11, 1, kA, true);
  Source source(kA, 14, 0.1);
  for (int step = 0; step < 3; ++step) {
    source.fill(head);
    // What it saw: B^T B, which is V^T V with the terms of the batch.
    for (std::int64_t a = 0; a < kA; ++a) {
      full.mean.set(a, head.mean[a]);
      for (std::int64_t b = 0; b < kA; ++b)
        full.covariance.view().set(head.covariance_at(0, a, b) - (a == b ? head.covariance.view().at(0, 0, a) : 0), 0, a, b);
    }
    full.count.set(0, head.count[0]);
    for (std::int64_t i = 0; i < head.features.view().size(); ++i) full.features.set(i, head.features[i]);
    compute(Context(Device::reference), full, &Head::update);
    update(head);

    // The directions are its eigenvectors, the longest first, and nothing that is left is longer than the last one.
    const ConstView V = head.covariance.view();
    const double allowed = 20 * way.rounding * full.covariance_at(0, 0, 0);
    std::vector<double> lengths;
    for (std::int64_t r = 1; r <= kR; ++r) {
      double length = 0;
      for (std::int64_t a = 0; a < kA; ++a) length += V.at(0, r, a) * V.at(0, r, a);
      lengths.push_back(length);
      for (std::int64_t a = 0; a < kA; ++a) {
        double product = 0;
        for (std::int64_t b = 0; b < kA; ++b) product += full.covariance_at(0, a, b) * V.at(0, r, b);
        EXPECT_NEAR(product, length * V.at(0, r, a), 10 * allowed * std::sqrt(length)) << r << " " << a;
      }
      if (r == 1) continue;
      EXPECT_GE(lengths[static_cast<std::size_t>(r) - 2], length);
    }
    // What is left, by powers of the matrix without them: (B^T B - V^T V)^40 x.
    std::vector<double> x(kA, 1.0);
    double growth = 0;
    for (int power = 0; power < 400; ++power) {
      std::vector<double> next(kA, 0.0);
      double norm = 0;
      for (std::int64_t a = 0; a < kA; ++a) {
        for (std::int64_t b = 0; b < kA; ++b) {
          double left = full.covariance_at(0, a, b);
          for (std::int64_t r = 1; r <= kR; ++r) left -= V.at(0, r, a) * V.at(0, r, b);
          next[static_cast<std::size_t>(a)] += left * x[static_cast<std::size_t>(b)];
        }
        norm += next[static_cast<std::size_t>(a)] * next[static_cast<std::size_t>(a)];
      }
      growth = std::sqrt(norm);
      for (double& value : next) value /= growth;
      x = next;
    }
    EXPECT_LE(growth, lengths.back() + allowed) << step;
    EXPECT_GT(growth, 0.01 * lengths.back()) << "something was left: " << step;
  }
}

TEST_P(LowRank, ManySamplesOfAClassAreTakenInChunks) {
  // More than two chunks of one class, fewer of the other. The directions that matter are far longer than what is given up, so that all devices keep the same.
  const Head head = this->head(90, 2, 40, 3), expected(DType::f64, 90, 2, 40, false, 3), full(DType::f64, 90, 2, 40, true);
  Source source(40, 3, 0.01);
  const Context reference(Device::reference);
  for (int step = 0; step < 3; ++step) {
    source.fill(head);
    for (std::int64_t i = 0; i < head.N; ++i) head.labels.set(i, i < 85 ? 1 : 0);
    for (const Head* other : {&expected, &full}) {
      for (std::int64_t i = 0; i < head.features.view().size(); ++i) other->features.set(i, head.features[i]);
      for (std::int64_t i = 0; i < head.N; ++i) other->labels.set(i, head.labels[i]);
      compute(reference, *other, &Head::update);
    }
    update(head);
    EXPECT_LE(error(head, expected), 2 * way.rounding) << step;
    EXPECT_LE(error(head, full, true), 2 * way.rounding) << step;
    EXPECT_LE(error(head, full), 1e-3) << step;
  }
}

TEST_P(LowRank, CorrectsAsTheFullCovarianceItStandsFor) {
  // U, Q and the gradients of S_c, once in two parts and once written out.
  const Head head = this->head(14, 5, 23, 4), full = this->full(head);
  Random random;
  random.everything(head);
  random.fill(head.covariance);
  for (std::int64_t c = 0; c < 5; ++c) {
    for (std::int64_t a = 0; a < 23; ++a) head.covariance.view().set(std::abs(head.covariance.view().at(c, 0, a)), c, 0, a);
    for (std::int64_t a = 0; a < 23; ++a) {
      for (std::int64_t b = 0; b < 23; ++b) full.covariance.view().set(head.covariance_at(c, a, b), c, a, b);
    }
  }
  const auto copy_to = [](const Array& from, const Array& to) {
    for (std::int64_t i = 0; i < from.view().size(); ++i) to.set(i, from[i]);
  };
  copy_to(head.features, full.features);
  copy_to(head.labels, full.labels);
  copy_to(head.weight, full.weight);
  copy_to(head.bias, full.bias);
  copy_to(head.daugmented, full.daugmented);
  for (const Head* of : {&head, &full}) {
    compute(context, *of, &Head::forward);
    compute(context, *of, &Head::backward);
  }
  const auto expect_near = [&](const Array& actual, const Array& expected) {
    double scale = 0;
    for (std::int64_t i = 0; i < expected.view().size(); ++i) scale = std::max(scale, std::abs(expected[i]));
    for (std::int64_t i = 0; i < expected.view().size(); ++i) ASSERT_NEAR(actual[i], expected[i], way.rounding * scale) << i;
  };
  expect_near(head.augmented, full.augmented);
  expect_near(head.dweight, full.dweight);
  expect_near(head.dfeatures, full.dfeatures);
  expect_near(head.dbias, full.dbias);
}

TEST_P(LowRank, ManyDirectionsAreAsGoodAsFew) {
  // More than two tiles of the card, more than fit into its shared memory, and A just large enough.
  const Head head = this->head(4, 2, 136, 134), full = this->full(head);
  Source source(136, 100, 0);
  for (int step = 0; step < 3; ++step) {
    source.fill(head);
    update_both(head, full);
    EXPECT_LE(error(head, full), 3 * way.rounding) << step;
  }
}

#if defined(ISDA_EMULATED)
TEST(LowRankOnCard, EveryOrderGivesTheSameBits) {
  const Strictly strictly;
  const Context context(Device::cuda);
  const Head start(DType::f32, 45, 3, 70, false, 5);
  Source source(70, 30, 0.2);
  source.fill(start);
  for (std::int64_t i = 0; i < 36; ++i) start.labels.set(i, 2);
  compute(context, start, &Head::update);
  source.fill(start);
  const Head first = start;
  compute(context, first, &Head::update);
  for_each_order([&](const std::string& order) {
    const Head head = start;
    compute(context, head, &Head::update);
    EXPECT_TRUE(head.covariance == first.covariance) << order;
    EXPECT_TRUE(head.count == first.count) << order;
  });
}
#endif

TEST(LowRankOnCard, TooManyDirectionsAreRefused) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  const Head head(DType::f32, 2, 1, 600, false, 513);
  try {
    compute(Context(Device::cuda), head, &Head::update);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "[isda_update] covariance (1,514,600) has 513 directions, and the kernels of a card take at most 512; use fewer, or --device cpu");
  }
}

}  // namespace
}  // namespace isda::kernels
