// SPDX-License-Identifier: Apache-2.0
// Every declared case of every operation (kernels/*/case.cpp):
//   Parity     the cpu device against the reference, f32, on fresh random data, outputs poisoned with NaN, sentinels around arrays
//   Gradient   the reference's backward against central differences of its forward, f64
//   Threads    the cpu device gives the same bits with one, two and three threads
//   Cuda       the cuda device against the reference, f32 and bf16, under every schedule of the emulated card, and the same bits under all; once more with
//              arrays that begin one element behind an aligned place, as views into larger ones may, in reverse. Where the operation multiplies f32 on tensor
//              cores, with one TF32 product (tf32) and without tensor cores (plain) too: kernels of their own, so under every schedule as well. Under a
//              sanitizer problems up to 1 MB, forward, and what is not aligned in reverse; under ThreadSanitizer, which looks at who reads and writes and
//              waits, and finds in tf32 and bf16 the barriers of f32, neither of these two
// Each records the problem's label, and its largest error and the one allowed, from which scripts/parity_table.py makes a table.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "kernels/common/case.h"
#include "tests/kernels/checker.h"
#include "tests/kernels/emulated_orders.h"

namespace isda::kernels {
namespace {

// NOTE: the seed is new for every run and printed on failure; ISDA_TEST_SEED=N repeats one.
std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    const char* fixed = std::getenv("ISDA_TEST_SEED");
    return fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
  }();
  return seed;
}

// What `array` may show of error in a run of activations of `type`.
double allowed(const Problem::Array& array, DType type, const Tolerance& tolerance) {
  if (array.role == Problem::Role::input) return 0;
  return type == DType::bf16 || array.view.type() == DType::bf16 ? tolerance.bf16 : tolerance.f32;
}

using Make = std::function<void(Problem&)>;

Problem problem_of(const Make& make, DType type, std::uint64_t seed, Device device = Device::cpu, std::size_t shift = 0) {
  Problem problem(type, seed, device, shift);
  make(problem);
  return problem;
}

// Holds the arrays of a problem against those of the reference.
// NOTE: one sum of random terms may come out near zero, and its rounding is that of the terms. So where few elements decide what an array's largest magnitude
// is, it is looked for on other data, too. That costs the reference some runs, and only who would fail without it asks.
class Comparison {
 public:
  // is_coarse: of products of TF32. NOTE: which of two logits is the larger one may then be another; the integers are compared with the other products.
  Comparison(const Make& make, const Problem& expected, DType type, const Tolerance& tolerance, bool is_coarse = false)
      : make_(make), expected_(expected), type_(type), tolerance_(tolerance), is_coarse_(is_coarse) {}

  // Expects every array to be within its tolerance; returns the largest error.
  double largest_error_of(const Problem& actual) {
    EXPECT_NO_THROW(actual.check_sentinels());
    double worst = 0;
    for (std::size_t i = 0; i < expected_.arrays().size(); ++i) {
      const Problem::Array& array = expected_.arrays()[i];
      if (array.role == Problem::Role::ambiguous || (is_coarse_ && array.view.type() == DType::i32)) continue;
      const View& view = actual.arrays()[i].view;
      const double most = allowed(array, type_, tolerance_);
      const double usual = is_few(array) && !difference(view, array.view, most).empty() ? usual_magnitude(i) : 0;
      EXPECT_EQ(difference(view, array.view, most, usual), "") << array.name;
      // NOTE: a bf16 beside arrays of f32 is measured by itself.
      if (type_ == DType::bf16 || array.view.type() != DType::bf16) worst = std::max(worst, largest_error(view, array.view, usual));
    }
    return worst;
  }

 private:
  static bool is_few(const Problem::Array& array) { return array.role != Problem::Role::input && array.view.size() < 64; }

  // Array i's largest magnitude on other data.
  double usual_magnitude(std::size_t i) {
    if (usual_.empty()) {
      usual_.resize(expected_.arrays().size());
      for (std::uint64_t other = 1; other <= 4; ++other) {
        Problem problem = problem_of(make_, type_, test_seed() + other);
        problem.run(Context(Device::reference));
        for (std::size_t k = 0; k < usual_.size(); ++k) usual_[k] = std::max(usual_[k], largest_magnitude(problem.arrays()[k].view));
      }
    }
    return usual_[i];
  }

  const Make& make_;
  const Problem& expected_;
  const DType type_;
  const Tolerance tolerance_;
  const bool is_coarse_;
  std::vector<double> usual_;
};

bool are_same_bits(const View& a, const View& b) { return std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.bytes())) == 0; }

void record(const std::string& label, double error, double allowed) {
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
  // NOTE: GoogleTest is compiled without it, and would be found to compare strings that nobody wrote.
  return;
#endif
#endif
  testing::Test::RecordProperty("label", label);
  testing::Test::RecordProperty("error", fmt::format("{:.2e}", error));
  testing::Test::RecordProperty("allowed", fmt::format("{:.2e}", allowed));
}

class Parity : public testing::Test {
 public:
  Parity(const Make& make, const Tolerance& tolerance) : make_(make), tolerance_(tolerance) {}

  void TestBody() override {
    Problem expected = problem_of(make_, DType::f32, test_seed());
    Problem actual = problem_of(make_, DType::f32, test_seed());
    SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} {}", test_seed(), expected.label()));
    expected.run(Context(Device::reference));
    const Context cpu(Device::cpu, 2);
    actual.run(cpu);
    actual.run(cpu);  // again: scratch memory now holds the first run's values
    EXPECT_NO_THROW(expected.check_sentinels());
    const double worst = Comparison(make_, expected, DType::f32, tolerance_).largest_error_of(actual);
    record(expected.label(), worst, tolerance_.f32);
  }

 private:
  Make make_;
  Tolerance tolerance_;
};

class Threads : public testing::Test {
 public:
  explicit Threads(const Make& make) : make_(make) {}

  void TestBody() override {
    Problem one = problem_of(make_, DType::f32, test_seed());
    SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} {}", test_seed(), one.label()));
    one.run(Context(Device::cpu, 1));
    for (const int threads : {2, 3}) {
      Problem many = problem_of(make_, DType::f32, test_seed());
      many.run(Context(Device::cpu, threads));
      for (std::size_t i = 0; i < one.arrays().size(); ++i) {
        EXPECT_TRUE(are_same_bits(one.arrays()[i].view, many.arrays()[i].view)) << one.arrays()[i].name << " with " << threads << " threads";
      }
    }
  }

 private:
  Make make_;
};

// Of a problem that a sanitizer sees: larger ones take minutes, for accesses that smaller ones make, too.
constexpr std::size_t kMostBytesOfSanitizers = 1 << 20;

std::size_t bytes_of(const Problem& problem) {
  std::size_t bytes = 0;
  for (const Problem::Array& array : problem.arrays()) bytes += array.bytes();
  return bytes;
}

class Cuda : public testing::Test {
 public:
  // products: of f32; the tolerance is theirs.
  Cuda(const Make& make, DType type, const Tolerance& tolerance, F32Products products = F32Products::three_tf32)
      : make_(make), type_(type), tolerance_(tolerance), products_(products) {}

  void TestBody() override {
    if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
    Problem expected = problem_of(make_, type_, test_seed());
    SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} {} {}", test_seed(), name_of(type_), expected.label()));
    expected.run(Context(Device::reference));
    Comparison comparison(make_, expected, type_, tolerance_, products_ == F32Products::tf32);
    const Strictly strictly;
    Problem first = problem_of(make_, type_, test_seed(), Device::cuda), actual = problem_of(make_, type_, test_seed(), Device::cuda);
    first.run(card());
    double worst = comparison.largest_error_of(first);
    const auto run_in = [&](const std::string& order) {
      SCOPED_TRACE(order);
      actual.run(card());
      worst = std::max(worst, comparison.largest_error_of(actual));
      for (std::size_t i = 0; i < expected.arrays().size(); ++i) {
        EXPECT_TRUE(are_same_bits(actual.arrays()[i].view, first.arrays()[i].view)) << expected.arrays()[i].name << " differs between two runs";
      }
    };
    if (!kIsSanitized) for_each_order(run_in);
    SCOPED_TRACE("arrays that are not aligned, in reverse");
    const InReverse in_reverse;
    Problem shifted = problem_of(make_, type_, test_seed(), Device::cuda, 1);
    shifted.run(card());
    worst = std::max(worst, comparison.largest_error_of(shifted));
    record(expected.label(), worst, type_ == DType::bf16 ? tolerance_.bf16 : tolerance_.f32);
  }

 private:
  Context card() const {
    Context context(Device::cuda);
    context.set_f32_products(products_);
    return context;
  }

  Make make_;
  DType type_;
  Tolerance tolerance_;
  F32Products products_;
};

class Gradient : public testing::Test {
 public:
  explicit Gradient(const Make& make) : make_(make) {}

  void TestBody() override {
    Problem problem = problem_of(make_, DType::f64, test_seed());
    SCOPED_TRACE(fmt::format("ISDA_TEST_SEED={} {}", test_seed(), problem.label()));
    const Context reference(Device::reference);
    problem.run(reference);
    Problem moved = problem_of(make_, DType::f64, test_seed());  // NOTE: its own arrays: a run poisons the outputs, gradients included
    double worst = 0;
    for (const auto& [of, by] : problem.gradients()) {
      const View input = moved.array(of).view;
      const View gradient = problem.array(by).view;
      ASSERT_EQ(input.shape(), gradient.shape()) << of << " and " << by;
      std::vector<double> expected(static_cast<std::size_t>(gradient.size()));
      double scale = 0;
      for (std::int64_t i = 0; i < gradient.size(); ++i) {
        expected[static_cast<std::size_t>(i)] = gradient.at_offset(i);
        scale = std::max(scale, std::abs(gradient.at_offset(i)));
      }
      Draw draw(test_seed() ^ 0x5EED);
      const std::int64_t samples = std::min<std::int64_t>(input.size(), 24);
      for (std::int64_t sample = 0; sample < samples; ++sample) {
        const std::int64_t i = samples == input.size() ? sample : draw.below(input.size());
        const double value = input.at_offset(i);
        const double step = 1e-5 * (1 + std::abs(value));
        const auto scalar_at = [&](double other) {
          input.set_offset(other, i);
          moved.run(reference, false);
          input.set_offset(value, i);
          return scalar(moved);
        };
        const double numeric = (scalar_at(value + step) - scalar_at(value - step)) / (2 * step);
        const double error = std::abs(numeric - expected[static_cast<std::size_t>(i)]);
        worst = std::max(worst, scale > 0 ? error / scale : error);
        EXPECT_TRUE(error <= kAllowed * scale + 1e-8) << by << "[" << i << "] is " << expected[static_cast<std::size_t>(i)] << ", by differences " << numeric;
      }
    }
    record(problem.label(), worst, kAllowed);
  }

 private:
  static constexpr double kAllowed = 2e-6;  // of the gradient's largest magnitude

  static double scalar(const Problem& problem) {
    double sum = 0;
    for (const auto& [of, by] : problem.seeds()) {
      const View output = problem.array(of).view;
      for (std::int64_t i = 0; i < output.size(); ++i) sum += output.at_offset(i) * (by.empty() ? 1 : problem.array(by).view.at_offset(i));
    }
    return sum;
  }

  Make make_;
};

const bool registered = [] {
  for (const Case& declared : all_cases()) {
    for (std::size_t variant = 0; variant < declared.variants.size(); ++variant) {
      const Make& make = declared.variants[variant];
      const std::string name = fmt::format("{}_{}", declared.name, variant);
      const auto add = [&](const std::string& suite, auto factory) {
        testing::RegisterTest(suite.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__, factory);
      };
      add("Parity", [make, tolerance = declared.tolerance]() -> Parity* { return new Parity(make, tolerance); });
      add("Threads", [make]() -> Threads* { return new Threads(make); });
      Problem described{Problem::Described()};
      make(described);
      if (described.runs_on_card() && (!kIsSanitized || bytes_of(described) <= kMostBytesOfSanitizers)) {
        add("Cuda_f32", [make, tolerance = declared.tolerance]() -> Cuda* { return new Cuda(make, DType::f32, tolerance); });
        const auto add_products = [&](F32Products products, double allowed) {
          if (allowed == 0) return;
          const Tolerance tolerance{.f32 = allowed, .bf16 = declared.tolerance.bf16};
          add(fmt::format("Cuda_{}", name_of(products)), [=]() -> Cuda* { return new Cuda(make, DType::f32, tolerance, products); });
        };
        add_products(F32Products::plain, declared.tolerance.plain);
#if !defined(ISDA_EMULATOR_THREAD)
        add_products(F32Products::tf32, declared.tolerance.tf32);
        add("Cuda_bf16", [make, tolerance = declared.tolerance]() -> Cuda* { return new Cuda(make, DType::bf16, tolerance); });
#endif
      }
      if (!described.gradients().empty()) add("Gradient", [make]() -> Gradient* { return new Gradient(make); });
    }
  }
  return true;
}();

TEST(Operations, AreDeclared) {
  EXPECT_TRUE(registered);
  EXPECT_FALSE(all_cases().empty());
}

}  // namespace
}  // namespace isda::kernels
