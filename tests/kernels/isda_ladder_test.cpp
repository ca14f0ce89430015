// SPDX-License-Identifier: Apache-2.0
// Every level of the ladder (kernels/isda/ladder) is IsdaHead: its results, its bits in every order of threads, what a NaN or a wrong label may spoil, that a
// graph holds it, and that it multiplies as the context says.
#include "kernels/isda/ladder/ladder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>

#include "kernels/common/case.h"
#include "tests/kernels/checker.h"
#include "tests/kernels/emulated_orders.h"

namespace isda::kernels {
namespace {

using ladder::Level, ladder::levels;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A head by one of the levels as an operation, so that a problem can hold it.
struct OfLevel {
  static constexpr auto name = "isda_ladder";
  const Level* level;
  IsdaHead head;
};
void check(const OfLevel&) {}
Cost cost(const OfLevel& op) { return op.level->cost(op.head); }
bool has_cuda(const OfLevel&) { return true; }
void run(Reference, const Context& context, const OfLevel& op) { run(Reference{}, context, op.head); }
void run(Cpu, const Context& context, const OfLevel& op) { run(Cpu{}, context, op.head); }
void run(Cuda, const Context& context, const OfLevel& op) { ladder::run(context, *op.level, op.head); }

struct Sizes {
  std::int64_t N, C, A;
  std::int64_t labelled = 0;  // labels lie below it; 0: all of C
  double ratio = 0.7;
  std::int64_t pixels = 1;  // 0: x is (N,A)
  bool has_orders = false;  // run in every order of threads
};

// Tiny; one class; ratio 0; every sample in one class; ragged about tiles of 32 and 64 features, more classes than samples; more classes than a block has
// rows; more samples than a block has threads; wider than a class's block at the top.
const Sizes kShapes[] = {
    {1, 1, 1},   {5, 1, 7, 0, 0.7, 0}, {9, 4, 5, 0, 0, 6, true}, {20, 7, 33, 1, 1.5, 1, true}, {9, 20, 70, 3, 0.7, 4, true}, {6, 133, 12, 2, 0.7, 1, true},
    {300, 3, 8}, {5, 6, 132, 2}};

struct Spoilt {
  std::int64_t sample = -1;  // the one whose first feature is NaN, or
  double label = 0;          // where it is not NaN, whose label is this
  bool is_label = false;
};

// Symmetric, with a positive diagonal.
Fill covariances(std::int64_t A) {
  return [A](Draw&, std::int64_t i) {
    const std::int64_t a = i / A % A, b = i % A;
    return 0.4 * std::sin(static_cast<double>(i / (A * A) + 3 * std::min(a, b) + 7 * std::max(a, b))) + (a == b ? 1 : 0);
  };
}

void make(Problem& p, const Level& level, const Sizes& s, const Spoilt& spoilt = {}, const Fill& covariance = {}) {
  const auto [N, C, A, labelled, ratio, pixels, has_orders] = s;
  const Shape shape = pixels > 0 ? Shape{N, pixels, 1, A} : Shape{N, A};
  const std::int64_t size = std::max<std::int64_t>(pixels, 1) * A;
  const Fill features = [=](Draw& draw, std::int64_t i) {
    const double value = 1 + draw.normal();
    return i == spoilt.sample * size && !spoilt.is_label ? kNaN : value;
  };
  // NOTE: every class of few is there.
  const Fill labels = [=, classes = labelled > 0 ? labelled : C](Draw& draw, std::int64_t i) {
    const auto label = static_cast<double>(i < classes ? i : draw.below(classes));
    return i == spoilt.sample && spoilt.is_label ? spoilt.label : label;
  };
  // Some classes were never seen.
  const Fill counts = [](Draw& draw, std::int64_t) { return 17.0 * static_cast<double>(draw.below(4)); };
  p.forward(OfLevel{.level = &level,
                    .head = {.x = p.input("x", shape, features),
                             .labels = p.integers("labels", {N}, labels),
                             .weight = p.parameter("weight", {C, A}, normal(0, 1 / std::sqrt(static_cast<double>(A)))),
                             .bias = N % 2 ? p.parameter("bias", {C}) : ConstView(),
                             .ratio = p.parameter("ratio", {1}, constant(ratio)),
                             .count = p.parameter_inout("count", {C}, counts),
                             .mean = p.parameter_inout("mean", {C, A}),
                             .covariance = p.parameter_inout("covariance", {C, A, A}, covariance ? covariance : covariances(A)),
                             .loss = p.parameter_output("loss", {1}),
                             .correct = p.integer_output("correct", {1}),
                             .dx = p.output("dx", shape),
                             .dweight = p.parameter_output("dweight", {C, A}),
                             .dbias = N % 2 ? p.parameter_output("dbias", {C}) : View()}});
}

// NOTE: the seed is new for every run and printed on failure; ISDA_TEST_SEED=N repeats one.
std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    const char* fixed = std::getenv("ISDA_TEST_SEED");
    return fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
  }();
  return seed;
}

bool are_same_bits(const View& a, const View& b) { return std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.bytes())) == 0; }

// The definition's results, and the largest magnitudes that arrays have on this and on other data.
struct Expected {
  Problem problem;
  std::vector<double> usual;

  Expected(const Sizes& s, DType type) : problem(type, test_seed()) {
    make(problem, levels().front(), s);
    problem.run(Context(Device::reference));
    for (const Problem::Array& array : problem.arrays()) usual.push_back(largest_magnitude(array.view));
    Problem other(type, test_seed() + 1);
    make(other, levels().front(), s);
    other.run(Context(Device::reference));
    for (std::size_t i = 0; i < usual.size(); ++i) usual[i] = std::max(usual[i], largest_magnitude(other.arrays()[i].view));
  }
  void expect_of(const Problem& actual, double tolerance) const {
    EXPECT_NO_THROW(actual.check_sentinels());
    for (std::size_t i = 0; i < usual.size(); ++i) {
      const Problem::Array& array = problem.arrays()[i];
      const double allowed = array.role == Problem::Role::input ? 0 : tolerance;
      EXPECT_EQ(difference(actual.arrays()[i].view, array.view, allowed, usual[i]), "") << array.name;
    }
  }
};

class IsdaLadder : public testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  }
  const Level& level() const { return levels().at(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Cuda, IsdaLadder, testing::Range(std::size_t{0}, levels().size()),
                         [](const auto& level) { return "level_" + std::string(levels().at(level.param).name); });

TEST_P(IsdaLadder, IsTheDefinitionWithTheSameBitsInEveryOrder) {
  const Strictly strictly;
  for (const Sizes& s : kShapes) {
    // NOTE: ThreadSanitizer, under which a problem takes 30 times as long, sees every barrier in these.
    if (kSeesThreads && !s.has_orders) continue;
    SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} N {}, C {}, A {}", test_seed(), s.N, s.C, s.A));
    const Expected expected(s, DType::f32);
    Problem first(DType::f32, test_seed(), Device::cuda), actual(DType::f32, test_seed(), Device::cuda);
    make(first, level(), s);
    make(actual, level(), s);
    first.run(Context(Device::cuda));
    expected.expect_of(first, 5e-6);
    if (kSeesThreads || !s.has_orders) continue;
    for_each_order(
        [&](const std::string& order) {
          SCOPED_TRACE(order);
          actual.run(Context(Device::cuda));
          EXPECT_NO_THROW(actual.check_sentinels());
          for (std::size_t i = 0; i < actual.arrays().size(); ++i) {
            EXPECT_TRUE(are_same_bits(actual.arrays()[i].view, first.arrays()[i].view)) << actual.arrays()[i].name << " differs between two runs";
          }
        },
        kIsSanitized ? 0 : 8);
  }
}

TEST_P(IsdaLadder, TakesMapsOfBf16AndArraysThatAreNotAligned) {
  if (kSeesThreads) return;
  const Strictly strictly;
  for (const Sizes& s : {Sizes{12, 30, 70, 0, 0.7, 4}, Sizes{6, 133, 12, 2}}) {
    SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} N {}, C {}, A {}", test_seed(), s.N, s.C, s.A));
    for (const DType type : {DType::f32, DType::bf16}) {
      Problem actual(type, test_seed(), Device::cuda, type == DType::f32 ? 1 : 0);
      make(actual, level(), s);
      actual.run(Context(Device::cuda));
      Expected(s, type).expect_of(actual, type == DType::f32 ? 5e-6 : 8e-3);
    }
  }
}

// Elements of class c in the arrays of a run, and of sample n in dx.
std::span<const float> of_row(const Problem& problem, const std::string& array, std::int64_t row) {
  const View view = problem.array(array).view;
  const auto size = static_cast<std::size_t>(view.size() / view.extent(0));
  return {view.as<float>() + static_cast<std::size_t>(row) * size, size};
}
bool are_same(std::span<const float> a, std::span<const float> b) { return std::memcmp(a.data(), b.data(), a.size_bytes()) == 0; }
bool are_nan(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isnan(value); });
}

TEST_P(IsdaLadder, ANaNReachesNoClassButItsOwnAndAWrongLabelNoStatistic) {
  const Sizes s{24, 4, 36, 0, 0.7, 2};
  Problem clean(DType::f32, test_seed(), Device::cuda);
  make(clean, level(), s);
  clean.run(Context(Device::cuda));
  // Of sample 9, by its feature; by a label that is no class's, of another sample of the same class, so that what is left is one sample less.
  for (const Spoilt& spoilt : {Spoilt{9}, Spoilt{9, 4, true}, Spoilt{9, -1, true}}) {
    SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} label {}", test_seed(), spoilt.is_label ? spoilt.label : kNaN));
    Problem wrong(DType::f32, test_seed(), Device::cuda);
    make(wrong, level(), s, spoilt);
    wrong.run(Context(Device::cuda));
    const auto own = static_cast<std::int64_t>(clean.array("labels").view.at(9));
    EXPECT_TRUE(are_nan(of_row(wrong, "loss", 0)));
    EXPECT_TRUE(std::isfinite(of_row(clean, "loss", 0)[0]));
    for (std::int64_t j = 0; j < s.C; ++j) EXPECT_TRUE(are_nan(of_row(wrong, "dweight", j))) << j;
    EXPECT_TRUE(are_nan(of_row(wrong, "dx", 9)));
    for (std::int64_t c = 0; c < s.C; ++c) {
      const bool has_nan = std::ranges::any_of(of_row(wrong, "covariance", c), [](float value) { return std::isnan(value); });
      EXPECT_EQ(has_nan, c == own && !spoilt.is_label) << c;
      if (c == own) continue;
      for (const char* array : {"count", "mean", "covariance"}) EXPECT_TRUE(are_same(of_row(wrong, array, c), of_row(clean, array, c))) << array << " " << c;
    }
    for (std::int64_t n = 0; n < s.N; ++n) {
      if (static_cast<std::int64_t>(clean.array("labels").view.at(n)) == own) continue;
      EXPECT_TRUE(are_same(of_row(wrong, "dx", n), of_row(clean, "dx", n))) << n;
    }
  }
}

TEST_P(IsdaLadder, AbsentClassesKeepEveryBitAndRatioZeroAsksForNoCovariance) {
  for (const double ratio : {0.0, 0.5}) {
    // Class 3 is absent, its covariance NaN and -0; with a ratio of 0 that of class 0 is infinite, and nothing but it sees that.
    constexpr std::int64_t kAbsent = 300;
    const Fill covariance = [ratio, usual = covariances(10)](Draw& draw, std::int64_t i) {
      if (i == kAbsent) return kNaN;
      if (i == kAbsent + 1) return -0.0;
      return i == 0 && ratio == 0 ? std::numeric_limits<double>::infinity() : usual(draw, i);
    };
    Problem problem(DType::f32, test_seed(), Device::cuda);
    make(problem, level(), {9, 4, 10, 3, ratio}, {}, covariance);
    problem.run(Context(Device::cuda));
    EXPECT_TRUE(std::isfinite(problem.array("loss").view.at(0)));
    const View after = problem.array("covariance").view;
    EXPECT_TRUE(std::isnan(after.at_offset(kAbsent)));
    EXPECT_TRUE(after.at_offset(kAbsent + 1) == 0 && std::signbit(after.at_offset(kAbsent + 1)));
    for (const char* array : {"dweight", "dx", "dbias"}) {
      const View values = problem.array(array).view;
      for (std::int64_t i = 0; i < values.size(); ++i) EXPECT_TRUE(std::isfinite(values.at_offset(i))) << array << " " << i;
    }
  }
}

TEST_P(IsdaLadder, IsHeldByAGraph) {
  const Sizes s{12, 5, 40, 0, 0.7, 2};
  const Context context(Device::cuda);
  Problem direct(DType::f32, test_seed(), Device::cuda), recorded(DType::f32, test_seed(), Device::cuda);
  for (Problem* problem : {&direct, &recorded}) {
    make(*problem, level(), s);
    problem->run(context);
  }
  // Once more: as it is, and recorded. An allocation or a wait would make the graph fail.
  direct.launches()[0].run(context);
  cuda::Graph graph(context.stream());
  recorded.launches()[0].run(context);
  graph.finish();
  EXPECT_GT(graph.nodes(), 0u);
  graph.launch(context.stream());
  for (std::size_t i = 0; i < direct.arrays().size(); ++i) {
    std::vector<std::byte> bytes[2];
    for (int k = 0; k < 2; ++k) {
      const Problem::Array& array = (k == 0 ? direct : recorded).arrays()[i];
      bytes[k].resize(array.bytes());
      cuda::copy_to_host(bytes[k].data(), array.on_card.get(), bytes[k].size(), context.stream());
    }
    context.synchronise();
    EXPECT_EQ(bytes[0], bytes[1]) << direct.arrays()[i].name;
  }
}

TEST(IsdaLadder, TheLevelsAreThere) {
  std::vector<std::string> names;
  for (const Level& level : levels()) names.push_back(level.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"01_dense", "02_per_class", "03_in_place", "04_shared_memory", "05_tensor_cores", "06_fused", "07_in_use", "08_ahead"}));
}

TEST(IsdaLadder, RefusesADiagonalCovariance) {
  Problem problem(DType::f32, 1);
  make(problem, levels().front(), {4, 3, 5});
  IsdaHead head = std::any_cast<OfLevel>(problem.launches()[0].operation).head;
  const View diagonal = problem.parameter_inout("diagonal", {3, 5});
  head.covariance = diagonal;
  try {
    ladder::run(Context(Device::cpu), levels().front(), head);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[isda_ladder] covariance is (3,5), expected (C,A,A): the ladder is one of full covariances; run IsdaHead for diagonal ones");
  }
}

// The fused level must cost the least among those that share their steps, and none less than the operation itself.
TEST(IsdaLadder, EachLevelDeclaresLessThanTheOneBefore) {
  Problem problem{Problem::Described()};
  make(problem, levels().front(), {128, 100, 64, 0, 0.7, 64});
  const IsdaHead head = std::any_cast<OfLevel>(problem.launches()[0].operation).head;
  double before = std::numeric_limits<double>::infinity();
  for (const Level& level : levels()) {
    const Cost declared = level.cost(head);
    EXPECT_LE(declared.bytes, before) << level.name;
    EXPECT_GE(declared.bytes, cost(head).bytes) << level.name;
    EXPECT_GE(declared.flop, 0.99 * cost(head).flop) << level.name;
    before = declared.bytes;
  }
}

#if defined(ISDA_EMULATED)
TEST(IsdaLadder, MultipliesAsTheContextSays) {
  const struct {
    const char *level, *kernel;
  } kOnTensorCores[] = {{"05_tensor_cores", "ladder_multiply_on_tensor_cores"}, {"06_fused", "ladder_update_and_multiply"}};
  const Sizes s{12, 30, 70, 0, 0.7, 1};
  const Expected expected(s, DType::f32);
  for (const auto& of : kOnTensorCores) {
    for (const Level& level : levels()) {
      if (std::string_view(level.name) != of.level) continue;
      const auto products_of = [&](F32Products products, double tolerance) {
        Context context(Device::cuda);
        context.set_f32_products(products);
        Problem actual(DType::f32, test_seed(), Device::cuda);
        make(actual, level, s);
        emulator::reset_counters();
        actual.run(context);
        SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} {} {}", test_seed(), of.level, name_of(products)));
        expected.expect_of(actual, tolerance);
        return emulator::counters().at(of.kernel).tensor_products;
      };
      const std::uint64_t three = products_of(F32Products::three_tf32, 5e-6), one = products_of(F32Products::tf32, kTf32Tolerance);
      EXPECT_GT(one, 0u) << of.level;
      EXPECT_EQ(three, 3 * one) << of.level;
      EXPECT_EQ(products_of(F32Products::plain, 5e-6), 0u) << of.level;
    }
  }
}
#endif

}  // namespace
}  // namespace isda::kernels
