// SPDX-License-Identifier: Apache-2.0
// IsdaHead, the whole head as one operation, in what its case cannot see: which bits may not change, NaN and infinities, wrong arguments, launches.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "kernels/linear/linear.h"
#include "kernels/pooling/pooling.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "tests/kernels/checker.h"
#include "tests/kernels/isda_head.h"
#include "tests/kernels/on_card.h"

#if defined(ISDA_EMULATED)
#include "kernels/emulator/emulator.h"
#endif

namespace isda::kernels {
namespace {

using isda_test::Array, isda_test::kNaN, isda_test::Random;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One batch of maps of 2 x 3 pixels, the parameters, the statistics and every result.
struct WholeHead {
  std::int64_t N, C, A;
  bool is_full;
  std::int64_t R;
  Array x, labels, weight, bias, ratio, count, mean, covariance, loss, correct, dx, dweight, dbias;

  WholeHead(DType type, std::int64_t samples, std::int64_t classes, std::int64_t width, bool full, std::int64_t directions = 0)
      : N(samples),
        C(classes),
        A(width),
        is_full(full),
        R(directions),
        x(type, {N, 2, 3, A}),
        labels(DType::i32, {N}),
        weight(type, {C, A}),
        bias(type, {C}),
        ratio(type, {1}, 0.5),
        count(type, {C}, 3),
        mean(type, {C, A}),
        covariance(type, isda_test::covariance_shape(C, A, full, directions)),
        loss(type, {1}, kNaN),
        correct(DType::i32, {1}, 77),
        dx(type, {N, 2, 3, A}, kNaN),
        dweight(type, {C, A}, kNaN),
        dbias(type, {C}, kNaN) {
    Random random;
    random.fill(x, 1);
    random.label(labels, C);
    random.fill(weight, 0, 1 / std::sqrt(static_cast<double>(A)));
    random.fill(bias);
    random.fill(mean);
  }

  IsdaHead operation() const {
    return {.x = x,
            .labels = labels,
            .weight = weight,
            .bias = bias,
            .ratio = ratio,
            .count = count,
            .mean = mean,
            .covariance = covariance,
            .loss = loss,
            .correct = correct,
            .dx = dx,
            .dweight = dweight,
            .dbias = dbias};
  }
  std::vector<const Array*> arrays() const { return {&x, &labels, &weight, &bias, &ratio, &count, &mean, &covariance, &loss, &correct, &dx, &dweight, &dbias}; }
  std::int64_t pixels() const { return 6 * A; }                         // of a sample, elements
  std::int64_t spread() const { return covariance.view().size() / C; }  // of a class's covariance, elements
};

void compute(const Context& context, const WholeHead& head) {
  isda_test::compute(context, head.arrays(), [&] { return head.operation(); });
}

struct Way {
  Device device;
  DType type;
  bool is_full;
  std::int64_t A;      // on the card: up to 128, or where it is diagonal some thousands, a block owns a class
  std::int64_t R = 0;  // directions of a covariance of low rank
};

class IsdaWholeHead : public testing::TestWithParam<Way> {
 protected:
  Context context{GetParam().device, 2};
  WholeHead head(std::int64_t N, std::int64_t C) const { return {GetParam().type, N, C, GetParam().A, GetParam().is_full, GetParam().R}; }
};

std::vector<Way> ways() {
  std::vector<Way> result;
  for (const bool is_full : {true, false}) {
    result.push_back({Device::reference, DType::f64, is_full, 18});
    result.push_back({Device::cpu, DType::f32, is_full, 18});
    if (!cuda::card().is_usable) continue;
    const std::vector<std::int64_t> widths = is_full ? std::vector<std::int64_t>{18, 40, 130} : std::vector<std::int64_t>{18, 40, 300, 4300};
    for (const std::int64_t A : widths) result.push_back({Device::cuda, DType::f32, is_full, A});
  }
  result.push_back({Device::reference, DType::f64, false, 18, 4});
  result.push_back({Device::cpu, DType::f32, false, 18, 4});
  if (cuda::card().is_usable) result.push_back({Device::cuda, DType::f32, false, 18, 4});
  return result;
}

INSTANTIATE_TEST_SUITE_P(Ways, IsdaWholeHead, testing::ValuesIn(ways()), [](const auto& way) {
  const char* kind = way.param.R > 0 ? "low_rank" : way.param.is_full ? "full" : "diagonal";
  return fmt::format("{}_{}_{}", name_of(way.param.device), kind, way.param.A);
});

TEST_P(IsdaWholeHead, AbsentClassesKeepEveryBit) {
  const WholeHead head = this->head(9, 5);
  Random().label(head.labels, 3);
  for (const std::int64_t c : {3, 4}) {
    head.count.set(c, c == 3 ? kNaN : -0.0);
    head.mean.set(c * head.A, kNaN);
    head.covariance.set(c * head.spread() + 1, kNaN);
  }
  const WholeHead before = head;
  compute(context, head);
  EXPECT_EQ(head.count.bits(3, 2), before.count.bits(3, 2));
  EXPECT_EQ(head.mean.bits(3 * head.A, 2 * head.A), before.mean.bits(3 * head.A, 2 * head.A));
  EXPECT_EQ(head.covariance.bits(3 * head.spread(), 2 * head.spread()), before.covariance.bits(3 * head.spread(), 2 * head.spread()));
  EXPECT_NE(head.covariance.bits(0, head.spread()), before.covariance.bits(0, head.spread()));
  EXPECT_TRUE(std::isfinite(head.loss[0]));
}

TEST_P(IsdaWholeHead, ANaNInAFeatureReachesNoClassButItsOwn) {
  const WholeHead clean = head(24, 4);
  clean.labels.set(5, 2);
  const WholeHead spoilt = clean;
  spoilt.x.set(5 * spoilt.pixels() + spoilt.A + 3, kNaN);
  compute(context, clean);
  compute(context, spoilt);
  EXPECT_TRUE(std::isfinite(clean.loss[0]));
  EXPECT_TRUE(std::isnan(spoilt.loss[0]));
  EXPECT_TRUE(std::isnan(spoilt.mean[2 * spoilt.A + 3]));
  EXPECT_TRUE(std::isnan(spoilt.dweight[0]));
  EXPECT_TRUE(std::isnan(spoilt.dbias[0]));
  for (std::int64_t c = 0; c < 4; ++c) {
    if (c == 2) continue;
    EXPECT_EQ(spoilt.mean.bits(c * clean.A, clean.A), clean.mean.bits(c * clean.A, clean.A)) << c;
    EXPECT_EQ(spoilt.covariance.bits(c * clean.spread(), clean.spread()), clean.covariance.bits(c * clean.spread(), clean.spread())) << c;
  }
  for (std::int64_t i = 0; i < clean.N; ++i) {
    if (clean.labels[i] == 2)
      EXPECT_TRUE(std::isnan(spoilt.dx[i * clean.pixels()])) << i;
    else
      EXPECT_EQ(spoilt.dx.bits(i * clean.pixels(), clean.pixels()), clean.dx.bits(i * clean.pixels(), clean.pixels())) << i;
  }
}

TEST_P(IsdaWholeHead, RatioZeroIsPlainCrossEntropyWhateverTheCovariance) {
  const WholeHead head = this->head(13, 5);
  head.ratio.set(0, 0);
  head.covariance.set(1, kInfinity);
  const WholeHead before = head;
  compute(context, head);

  const DType type = GetParam().type;
  const Context reference(Device::reference);
  const Array features(type, {13, head.A}), logits(type, {13, 5}), loss(type, {1}), dlogits(type, {13, 5}), correct(DType::i32, {1});
  const Array dfeatures(type, {13, head.A}), dx(type, {13, 2, 3, head.A}), dweight(type, {5, head.A}), dbias(type, {5});
  run(reference, GlobalAverage{.x = before.x, .y = features});
  run(reference, Linear{.x = features, .weight = before.weight, .bias = before.bias, .y = logits});
  run(reference, SoftmaxCrossEntropy{.logits = logits, .labels = before.labels, .loss = loss, .dlogits = dlogits, .correct = correct});
  run(reference, LinearBackward{.dy = dlogits, .x = features, .weight = before.weight, .dx = dfeatures, .dweight = dweight, .dbias = dbias});
  run(reference, GlobalAverageBackward{.dy = dfeatures, .dx = dx});
  EXPECT_EQ(difference(head.loss.view(), loss.view(), 1e-6), "");
  EXPECT_EQ(head.correct[0], correct[0]);
  EXPECT_EQ(difference(head.dx.view(), dx.view(), 3e-6), "");
  EXPECT_EQ(difference(head.dweight.view(), dweight.view(), 3e-6), "");
  EXPECT_EQ(difference(head.dbias.view(), dbias.view(), 3e-6), "");
}

TEST_P(IsdaWholeHead, TheCovarianceStaysSymmetricToTheBit) {
  if (!GetParam().is_full) return;
  const WholeHead head = this->head(14, 2);
  for (int step = 0; step < 3; ++step) {
    Random().fill(head.x, step);
    compute(context, head);
  }
  for (std::int64_t c = 0; c < head.C; ++c) {
    for (std::int64_t a = 0; a < head.A; ++a) {
      for (std::int64_t b = 0; b < a; ++b) {
        ASSERT_EQ(head.covariance[(c * head.A + a) * head.A + b], head.covariance[(c * head.A + b) * head.A + a]) << a << " " << b;
      }
    }
  }
}

TEST_P(IsdaWholeHead, OnTheCardAWrongLabelSpoilsEverySumAndNoStatistic) {
  if (context.device() != Device::cuda) return;
  for (const int label : {4, -1, 1 << 30}) {
    const WholeHead clean = head(9, 4);
    clean.labels.set(3, 1);
    // NOTE: what is to become NaN is none before.
    for (const Array* array : {&clean.loss, &clean.dx, &clean.dweight, &clean.dbias}) {
      for (std::int64_t i = 0; i < array->view().size(); ++i) array->set(i, 0);
    }
    const WholeHead wrong = clean;
    wrong.labels.set(3, label);
    compute(context, clean);
    compute(context, wrong);
    EXPECT_TRUE(std::isnan(wrong.loss[0])) << label;
    for (std::int64_t i = 0; i < wrong.pixels(); ++i) ASSERT_TRUE(std::isnan(wrong.dx[3 * wrong.pixels() + i])) << label << " " << i;
    for (std::int64_t i = 0; i < 4 * wrong.A; ++i) ASSERT_TRUE(std::isnan(wrong.dweight[i])) << label << " " << i;
    for (std::int64_t j = 0; j < 4; ++j) EXPECT_TRUE(std::isnan(wrong.dbias[j])) << label << " " << j;
    for (std::int64_t i = 0; i < 9; ++i) {
      if (clean.labels[i] != 1) {
        EXPECT_EQ(wrong.dx.bits(i * wrong.pixels(), wrong.pixels()), clean.dx.bits(i * wrong.pixels(), wrong.pixels())) << label << " " << i;
      }
    }
    EXPECT_EQ(wrong.covariance.bits(0, wrong.spread()), clean.covariance.bits(0, wrong.spread())) << label;
    double samples = 0;
    for (std::int64_t c = 0; c < 4; ++c) samples += wrong.count[c] - 3;
    EXPECT_EQ(samples, 8) << label;
  }
}

// A head of one-pixel features whose biases are given. With 400 classes a block does not hold all of W at a time, with 130 features it has no class.
struct Biased {
  std::int64_t C, A;
};
const Biased kBiased[] = {{400, 3}, {20, 130}};

void make_with_biases(Problem& p, const Biased& of, const Fill& biases, std::int64_t label) {
  const auto [C, A] = of;
  p.forward(IsdaHead{.x = p.input("x", {2, A}),
                     .labels = p.integers("labels", {2}, constant(static_cast<double>(label))),
                     .weight = p.parameter("weight", {C, A}, normal(0, 1 / std::sqrt(static_cast<double>(A)))),
                     .bias = p.parameter("bias", {C}, biases),
                     .ratio = p.parameter("ratio", {1}, constant(0.5)),
                     .count = p.parameter_inout("count", {C}, constant(2)),
                     .mean = p.parameter_inout("mean", {C, A}),
                     .covariance = p.parameter_inout("covariance", {C, A, A}, constant(0.5)),
                     .loss = p.parameter_output("loss", {1}),
                     .correct = p.integer_output("correct", {1}),
                     .dx = p.output("dx", {2, A}),
                     .dweight = p.parameter_output("dweight", {C, A}),
                     .dbias = p.parameter_output("dbias", {C})});
}

TEST(IsdaHead, LogitsOfMinusInfinityHaveNoShare) {
  for (const Biased& of : kBiased) {
    for (const std::int64_t label : {std::int64_t{5}, of.C - 10}) {
      // Of one half of the classes, with that of the label or without; of all but the label.
      for (const bool is_upper : {false, true}) {
        const Fill half = [=](Draw& draw, std::int64_t j) { return j != label && (j >= of.C / 2) == is_upper ? -kInfinity : draw.normal(); };
        expect_as_reference_on_card([&](Problem& p) { make_with_biases(p, of, half, label); }, 1e-5);
      }
      const Fill alone = [=](Draw&, std::int64_t j) { return j == label ? 1 : -kInfinity; };
      expect_as_reference_on_card([&](Problem& p) { make_with_biases(p, of, alone, label); }, 1e-5);
      // The label itself: an infinite loss.
      const Fill own = [=](Draw& draw, std::int64_t j) { return j == label ? -kInfinity : draw.normal(); };
      expect_as_reference_on_card([&](Problem& p) { make_with_biases(p, of, own, label); }, 1e-5);
    }
  }
}

TEST(IsdaHead, ASureNetworkHasAnExactLoss) {
  // The label's logit towers: loss and gradient are made of the others alone, which would drown beside 1.
  for (const Biased& of : kBiased) {
    for (const std::int64_t label : {std::int64_t{5}, of.C - 10}) {
      const Fill biases = [=](Draw& draw, std::int64_t j) { return j == label ? 22 : draw.normal(); };
      Problem expected(DType::f32, 1), actual(DType::f32, 1, Device::cuda);
      make_with_biases(expected, of, biases, label);
      make_with_biases(actual, of, biases, label);
      expected.run(Context(Device::reference));
      actual.run(Context(Device::cuda));
      EXPECT_LT(value_of(expected, "loss", 0), 1e-3);
      for (const char* array : {"loss", "dbias", "dweight", "dx"})
        EXPECT_EQ(difference(actual.array(array).view, expected.array(array).view, 2e-5), "") << array << " " << of.A;
    }
  }
}

TEST(IsdaHead, OfEqualLogitsTheFirstCounts) {
  for (const std::int64_t A : {3, 130}) {
    for (const int label : {0, 1, 2}) {
      const WholeHead head(DType::f32, 4, 3, A, true);
      for (std::int64_t i = 0; i < 4; ++i) head.labels.set(i, label);
      for (std::int64_t i = 0; i < 3 * A; ++i) head.weight.set(i, static_cast<double>(i % A));
      for (std::int64_t j = 0; j < 3; ++j) head.bias.set(j, 1);
      for (const Device device : {Device::reference, Device::cpu, Device::cuda}) {
        if (device == Device::cuda && !cuda::card().is_usable) continue;
        compute(Context(device), head);
        EXPECT_EQ(head.correct[0], label == 0 ? 4 : 0) << name_of(device) << " " << A << " " << label;
      }
    }
  }
}

#if defined(ISDA_EMULATED)
TEST(IsdaHead, TakesSoManyLaunches) {
  const Context context(Device::cuda);
  const auto launches_of = [&](const WholeHead& head) {
    emulator::reset_counters();
    compute(context, head);
    std::uint64_t launches = 0;
    for (const auto& [name, counts] : emulator::counters()) launches += counts.launches;
    return launches;
  };
  for (const std::int64_t A : {1, 64, 128}) EXPECT_EQ(launches_of(WholeHead(DType::f32, 20, 5, A, true)), 2u) << A;
  EXPECT_EQ(launches_of(WholeHead(DType::f32, 20, 5, 129, true)), 11u);
  for (const std::int64_t A : {1, 64, 640}) EXPECT_EQ(launches_of(WholeHead(DType::f32, 20, 5, A, false)), 2u) << A;
  EXPECT_EQ(launches_of(WholeHead(DType::f32, 20, 5, 4300, false)), 11u);
  EXPECT_EQ(launches_of(WholeHead(DType::f32, 20, 5, 64, false, 8)), 17u);
}
#endif

// ---- what is said about wrong arguments ----

std::string message_of(const IsdaHead& operation, Device device = Device::cpu) {
  try {
    run(Context(device, 1), operation);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(IsdaHead, NamesWhatIsWrong) {
  const WholeHead head(DType::f32, 4, 3, 5, true), wide(DType::f64, 4, 3, 5, true);
  auto wrong = head.operation();
  wrong.x = ConstView();
  EXPECT_EQ(message_of(wrong), "[isda_head] x was not given");
  wrong = head.operation();
  wrong.x = head.covariance;
  EXPECT_EQ(message_of(wrong), "[isda_head] x is (3,5,5), expected (N,H,W,A) or (N,A)");
  wrong = head.operation();
  wrong.weight = Array(DType::f32, {3, 4});
  EXPECT_EQ(message_of(wrong), "[isda_head] weight is (3,4), expected (3,5): (C,A) with N 4, C 3, A 5");
  wrong = head.operation();
  wrong.covariance = Array(DType::f32, {3, 5, 4});
  EXPECT_EQ(message_of(wrong), "[isda_head] covariance is (3,5,4), expected (3,5,5) (full), (3,5) (diagonal) or (3,1+R,5) (low rank)");
  wrong = head.operation();
  wrong.correct = View();
  EXPECT_EQ(message_of(wrong), "[isda_head] correct was not given, expected (1): one count over the batch");
  wrong = head.operation();
  wrong.dx = Array(DType::f32, {4, 5});
  EXPECT_EQ(message_of(wrong), "[isda_head] dx is (4,5), expected (4,2,3,5): the shape of x");
  wrong = head.operation();
  wrong.ratio = wide.ratio;
  EXPECT_EQ(message_of(wrong), "[isda_head] ratio is f64, expected f32");
  EXPECT_EQ(message_of(wide.operation()), "[isda_head] the cpu device computes in f32, got f64; use --device reference for f64, --device cuda for bf16");
}

TEST(IsdaHead, NamesTheSampleWithAWrongLabel) {
  for (const Device device : {Device::reference, Device::cpu}) {
    const WholeHead head(DType::f32, 4, 3, 5, true);
    head.labels.set(2, 3);
    EXPECT_EQ(message_of(head.operation(), device), "[isda_head] the label of sample 2 is 3, expected 0 to 2: there are 3 classes");
  }
}

}  // namespace
}  // namespace isda::kernels
