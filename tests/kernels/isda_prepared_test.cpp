// SPDX-License-Identifier: Apache-2.0
// The head in two parts over several batches: that it computes what IsdaHead does, and when what is pending may reach the covariances.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "kernels/isda/prepared_head.h"
#include "tests/kernels/checker.h"
#include "tests/kernels/emulated_orders.h"
#include "tests/kernels/isda_head.h"

namespace isda::kernels {
namespace {

using isda_test::Array, isda_test::kNaN, isda_test::Random;

constexpr std::int64_t kClasses = 5, kMostSamples = 12, kRowsOfClass = 3;

// What lives from batch to batch: statistics, and what is pending.
struct Statistics {
  std::int64_t A;
  Array count, mean, covariance, count_pending, first_pending, keep_pending, rows_pending;

  Statistics(DType type, std::int64_t width)
      : A(width),
        count(type, {kClasses}),
        mean(type, {kClasses, A}),
        covariance(type, {kClasses, A, A}),
        count_pending(DType::i32, {kClasses}),
        first_pending(DType::i32, {kClasses}, -1),
        keep_pending(type, {kClasses}, kNaN),
        rows_pending(type, {PendingTerms::rows_for(kClasses, kRowsOfClass, kMostSamples), A}, kNaN) {}

  PendingTerms pending() const {
    return {.count = count_pending, .first = first_pending, .keep = keep_pending, .rows = rows_pending, .of_class = kRowsOfClass};
  }
  std::vector<const Array*> arrays() const { return {&count, &mean, &covariance, &count_pending, &first_pending, &keep_pending, &rows_pending}; }
};

// A batch, the parameters, what is prepared, and every result.
struct Step {
  std::int64_t N, A;
  Array x, labels, weight, bias, ratio, slots, members, u, q, loss, correct, dx, dweight, dbias;

  Step(DType type, std::int64_t width, const std::vector<int>& classes, Random& random)
      : N(static_cast<std::int64_t>(classes.size())),
        A(width),
        x(type, {N, 2, 1, A}),
        labels(DType::i32, {N}),
        weight(type, {kClasses, A}),
        bias(type, {kClasses}),
        ratio(type, {1}, 0.5),
        slots(DType::i32, {kClasses}, 77),
        members(DType::i32, {2 * std::min(N, kClasses) + 2 + N}, 77),
        u(type, {std::min(N, kClasses), kClasses, A}, kNaN),
        q(type, {std::min(N, kClasses), kClasses}, kNaN),
        loss(type, {1}, kNaN),
        correct(DType::i32, {1}, 77),
        dx(type, {N, 2, 1, A}, kNaN),
        dweight(type, {kClasses, A}, kNaN),
        dbias(type, {kClasses}, kNaN) {
    random.fill(x, 1);
    for (std::int64_t i = 0; i < N; ++i) labels.set(i, classes[static_cast<std::size_t>(i)]);
    random.fill(weight, 0, 1 / std::sqrt(static_cast<double>(A)));
    random.fill(bias);
  }

  Prepared prepared() const { return {.slots = slots, .members = members, .u = u, .q = q}; }
  IsdaHead head(const Statistics& s) const {
    return {.x = x,
            .labels = labels,
            .weight = weight,
            .bias = bias,
            .ratio = ratio,
            .count = s.count,
            .mean = s.mean,
            .covariance = s.covariance,
            .loss = loss,
            .correct = correct,
            .dx = dx,
            .dweight = dweight,
            .dbias = dbias};
  }
  IsdaPrepare prepare(const Statistics& s) const {
    return {.labels = labels, .weight = weight, .covariance = s.covariance, .pending = s.pending(), .prepared = prepared()};
  }
  IsdaPreparedHead prepared_head(const Statistics& s) const {
    return {.x = x,
            .labels = labels,
            .weight = weight,
            .bias = bias,
            .ratio = ratio,
            .count = s.count,
            .mean = s.mean,
            .pending = s.pending(),
            .prepared = prepared(),
            .loss = loss,
            .correct = correct,
            .dx = dx,
            .dweight = dweight,
            .dbias = dbias};
  }
  std::vector<const Array*> arrays(const Statistics& s) const {
    std::vector<const Array*> result = s.arrays();
    for (const Array* array : {&x, &labels, &weight, &bias, &ratio, &slots, &members, &u, &q, &loss, &correct, &dx, &dweight, &dbias}) result.push_back(array);
    return result;
  }
  std::vector<const Array*> results() const { return {&loss, &correct, &dx, &dweight, &dbias}; }
};

struct Way {
  Device device;
  DType type;
  std::int64_t A;
  double tolerance;
};

class IsdaPrepared : public testing::TestWithParam<Way> {
 protected:
  // Every class; classes more often than they have rows, and then absent; one sample; all of one class; some again.
  std::vector<Step> steps() const {
    Random random;
    std::vector<Step> result;
    for (const std::vector<int>& classes : std::vector<std::vector<int>>{
             {0, 1, 2, 3, 4, 2, 2, 1}, {3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0, 2}, {4}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 4, 4, 0}, {3, 2, 1, 0}})
      result.emplace_back(GetParam().type, GetParam().A, classes, random);
    return result;
  }
  Statistics statistics() const { return {GetParam().type, GetParam().A}; }

  void whole(const Step& step, const Statistics& s) const {
    isda_test::compute(context, step.arrays(s), [&] { return step.head(s); });
  }
  void in_parts(const Step& step, const Statistics& s) const {
    isda_test::compute(context, step.arrays(s), [&] { return step.prepare(s); });
    isda_test::compute(context, step.arrays(s), [&] { return step.prepared_head(s); });
  }
  void settle(const Statistics& s) const {
    isda_test::compute(context, s.arrays(), [&] { return IsdaSettle{.covariance = s.covariance, .pending = s.pending()}; });
  }

  const Context context{GetParam().device, 2};
};

std::vector<Way> ways() {
  std::vector<Way> result = {{Device::reference, DType::f64, 18, 1e-12}, {Device::cpu, DType::f32, 18, 1e-5}, {Device::cpu, DType::f32, 131, 1e-5}};
  if (cuda::card().is_usable) {
    // NOTE: in the first, IsdaHead is another kernel altogether.
    for (const std::int64_t A : {18, 130}) result.push_back({Device::cuda, DType::f32, A, 1e-5});
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Ways, IsdaPrepared, testing::ValuesIn(ways()),
                         [](const auto& way) { return fmt::format("{}_{}", name_of(way.param.device), way.param.A); });

TEST_P(IsdaPrepared, BatchesLeaveWhatTheWholeHeadLeaves) {
  const Statistics s = statistics(), expected = statistics();
  for (const Step& step : steps()) {
    const Step other = step;
    in_parts(step, s);
    whole(other, expected);
    for (std::size_t i = 0; i < step.results().size(); ++i)
      EXPECT_EQ(difference(step.results()[i]->view(), other.results()[i]->view(), GetParam().tolerance), "") << "result " << i;
    EXPECT_EQ(s.count, expected.count);
    EXPECT_EQ(difference(s.mean.view(), expected.mean.view(), GetParam().tolerance), "");
  }
  settle(s);
  EXPECT_EQ(difference(s.covariance.view(), expected.covariance.view(), GetParam().tolerance), "");
  for (std::int64_t c = 0; c < kClasses; ++c) EXPECT_EQ(s.count_pending[c], 0) << c;
}

TEST_P(IsdaPrepared, WhenItIsSettledChangesNoBit) {
  const Statistics s = statistics(), other = statistics();
  for (const Step& step : steps()) {
    const Step again = step;
    in_parts(step, s);
    in_parts(again, other);
    settle(other);
    for (std::size_t i = 0; i < step.results().size(); ++i) EXPECT_EQ(*step.results()[i], *again.results()[i]) << "result " << i;
  }
  EXPECT_NE(s.covariance, other.covariance);
  settle(s);
  EXPECT_EQ(s.covariance, other.covariance);
  EXPECT_EQ(s.mean, other.mean);
}

TEST_P(IsdaPrepared, AbsentClassesKeepEveryBit) {
  const Statistics s = statistics();
  in_parts(steps()[0], s);
  const Statistics before = s;
  in_parts(steps()[3], s);
  const std::int64_t S = s.A * s.A;
  for (const std::int64_t c : {0, 2, 3, 4}) {
    EXPECT_EQ(s.mean.bits(c * s.A, s.A), before.mean.bits(c * s.A, s.A)) << c;
    // NOTE: class 2 had more terms than rows, and so must be settled, present or not.
    EXPECT_EQ(s.count_pending[c], c == 2 ? 0 : before.count_pending[c]) << c;
    EXPECT_EQ(s.covariance.bits(c * S, S) == before.covariance.bits(c * S, S), c != 2) << c;
    EXPECT_EQ(s.rows_pending.bits(c * kRowsOfClass * s.A, kRowsOfClass * s.A), before.rows_pending.bits(c * kRowsOfClass * s.A, kRowsOfClass * s.A)) << c;
  }
}

TEST_P(IsdaPrepared, ANaNInAFeatureReachesNoClassButItsOwn) {
  const Statistics clean = statistics(), spoilt = statistics();
  const std::vector<Step> clean_steps = steps(), spoilt_steps = steps();
  spoilt_steps[0].x.set(2 * 2 * spoilt.A + 3, kNaN);  // of class 2
  for (std::size_t i = 0; i < clean_steps.size(); ++i) {
    in_parts(clean_steps[i], clean);
    in_parts(spoilt_steps[i], spoilt);
    EXPECT_EQ(std::isnan(spoilt_steps[i].loss[0]), i == 0 || i == 1 || i == 5) << i;
  }
  settle(clean);
  settle(spoilt);
  const std::int64_t S = clean.A * clean.A;
  for (std::int64_t c = 0; c < kClasses; ++c) EXPECT_EQ(clean.covariance.bits(c * S, S) == spoilt.covariance.bits(c * S, S), c != 2) << c;
}

TEST_P(IsdaPrepared, RatioZeroIsPlainCrossEntropyWhateverTheCovariance) {
  const Statistics s = statistics(), expected = statistics();
  s.covariance.set(1, std::numeric_limits<double>::infinity());
  const Step step = steps()[0], other = step;
  step.ratio.set(0, 0);
  other.ratio.set(0, 0);
  in_parts(step, s);
  whole(other, expected);
  for (std::size_t i = 0; i < step.results().size(); ++i)
    EXPECT_EQ(difference(step.results()[i]->view(), other.results()[i]->view(), GetParam().tolerance), "") << "result " << i;
}

#if defined(ISDA_EMULATED)
TEST(IsdaPreparedOnTheCard, TakesSoManyLaunchesBehindTheFeatures) {
  Random random;
  const Context context(Device::cuda);
  const Statistics s(DType::f32, 130);
  const Step step(DType::f32, 130, {0, 1, 1}, random);
  const auto launches_of = [&](auto&& make) {
    emulator::reset_counters();
    isda_test::compute(context, step.arrays(s), make);
    std::uint64_t launches = 0;
    for (const auto& [name, counts] : emulator::counters()) launches += counts.launches;
    return launches;
  };
  EXPECT_EQ(launches_of([&] { return step.prepare(s); }), 4u);
  EXPECT_EQ(launches_of([&] { return step.prepared_head(s); }), 10u);
  EXPECT_EQ(launches_of([&] { return IsdaSettle{.covariance = s.covariance, .pending = s.pending()}; }), 2u);
}
#endif

template <class Operation>
std::string message_of(const Operation& operation) {
  try {
    run(Context(Device::cpu, 1), operation);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(IsdaPreparedArguments, AreNamedWhereTheyAreWrong) {
  Random random;
  const Statistics s(DType::f32, 6);
  const Step step(DType::f32, 6, {0, 1, 1}, random);
  auto wrong = step.prepare(s);
  wrong.covariance = Array(DType::f32, {5, 6});
  EXPECT_EQ(message_of(wrong), "[isda_prepare] covariance is (5,6), expected 3 extents: (C,A,A), a full one");
  wrong = step.prepare(s);
  wrong.pending.rows = Array(DType::f32, {17, 6});
  EXPECT_EQ(message_of(wrong),
            "[isda_prepare] pending.rows is (17,6), expected at least 21 rows of 6: 3 for each of 5 classes, and what a batch of 3 may need");
  wrong = step.prepare(s);
  wrong.pending.of_class = 0;
  EXPECT_EQ(message_of(wrong), "[isda_prepare] pending.of_class is 0, expected at least 1 row for each class");
  auto head = step.prepared_head(s);
  head.prepared.members = step.labels;
  EXPECT_EQ(message_of(head), "[isda_prepared_head] prepared.members is (3), expected (11): 2 min(N,C) + 2 + N with N 3, C 5");
  head = step.prepared_head(s);
  EXPECT_EQ(message_of(head), "[isda_prepared_head] slots[0] is 77, but class 0 is among the labels; pass the slots made of this batch's labels");
  EXPECT_EQ(message_of(IsdaSettle{.covariance = s.covariance, .pending = {}}),
            "[isda_settle] pending.count was not given, expected (5): one for each of 5 classes");
}

}  // namespace
}  // namespace isda::kernels
