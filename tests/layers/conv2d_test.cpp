// SPDX-License-Identifier: Apache-2.0
// Convolution as a layer: gradients by differences, the fused batch normalisation against the two layers one after the other, and the
// statistics it leaves for the normalisation behind it.
#include "layers/conv2d.h"

#include <gtest/gtest.h>

#include <map>

#include "core/random.h"
#include "kernels/common/trace.h"
#include "layers/add.h"
#include "layers/batch_norm.h"
#include "layers/relu.h"
#include "layers/sigmoid.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"

namespace isda {
namespace {

constexpr Placement kCpu{Device::cpu, DType::f32};

TEST(Conv2d, ValuesOfASmallImage) {
  const Tensor x = random_tensor({2, 5, 4, 3}, 1), weight = random_tensor({4, 3, 3, 3}, 2);
  const Tensor y = conv2d(x, weight, {.kernel = 3, .stride = 2, .padding = 1});
  const View v = x, w = weight;
  ASSERT_EQ(y.shape(), (Shape{2, 3, 2, 4}));
  double sum = 0;  // of y[1,2,1,3]: rows 3 to 5, columns 1 to 3
  for (std::int64_t r = 0; r < 3; ++r) {
    for (std::int64_t s = 0; s < 3; ++s) {
      for (std::int64_t c = 0; c < 3; ++c) {
        if (3 + r < 5) sum += v.at(1, 3 + r, 1 + s, c) * w.at(3, r, s, c);
      }
    }
  }
  EXPECT_NEAR(y.view().at(1, 2, 1, 3), sum, 1e-13);
}

TEST(Conv2d, Gradients) {
  const Tensor x = random_parameter({2, 5, 4, 4}, 3);
  struct Kind {
    Shape weight;
    Conv2dOptions options;
  };
  for (const auto& [shape, options] : {Kind{{4, 3, 3, 4}, {.padding = 1}}, Kind{{4, 3, 3, 4}, {.stride = 2, .padding = 1}}, Kind{{4, 1, 1, 4}, {.stride = 2}},
                                       Kind{{6, 3, 3, 2}, {.padding = 1, .groups = 2}}, Kind{{2, 2, 3, 4}, {}}}) {
    SCOPED_TRACE(fmt::format("weight {}, stride {}, groups {}", shape, options.stride, options.groups));
    const Tensor weight = random_parameter(shape, 4);
    expect_gradients({{"x", x}, {"weight", weight}}, [&, o = options] { return conv2d(x, weight, o); });
  }
}

TEST(Conv2d, OfAConstantGivesGradientsToTheWeightAlone) {
  const Tensor x = random_tensor({2, 5, 4, 3}, 5), weight = random_parameter({4, 3, 3, 3}, 6);
  const OperationLog log;
  expect_gradients({{"weight", weight}}, [&] { return conv2d(x, weight, {.padding = 1}); });
  for (const auto& [name, cost] : log.entries()) EXPECT_STRNE(name, "conv2d_backward_data");
}

// The pending gradient of the shortcut goes into the convolution's own, and is not added a second time.
TEST(Conv2d, GradientsBesideAShortcut) {
  const Tensor x = random_parameter({2, 4, 4, 3}, 7), weight = random_parameter({3, 3, 3, 3}, 8);
  const Tensor other = random_parameter({2, 4, 4, 3}, 9);
  const auto block = [&] {
    const Tensor h = add(x, other);
    const Tensor y = conv2d(h, weight, {.padding = 1}), shortcut = relu(h);
    return add(y, shortcut);
  };
  expect_gradients({{"x", x}, {"other", other}, {"weight", weight}}, block);

  // Without a pass of its own.
  const Tensor sum = weighted_sum(block());
  const OperationLog log;
  backward(sum);
  for (const auto& [name, cost] : log.entries()) EXPECT_STRNE(name, "add");
}

// ---- relu(batch_norm(x)) applied on load ----

struct Fusion {
  Placement placement;
  double tolerance;
  Conv2dOptions options;
  bool is_training;
  const char* name;
};

class FusedBatchNorm : public testing::TestWithParam<Fusion> {
 protected:
  struct Outcome {
    Tensor y;
    std::vector<NamedTensor> gradients, buffers;
  };

  // conv2(relu(bn(conv1(x)))), the normalisation fused or not.
  static Outcome run_network(bool is_fused) {
    const auto& [placement, tolerance, options, is_training, name] = GetParam();
    const PlacementScope scope(placement);
    BatchNorm bn(8);
    randomise(bn, 10);
    if (!is_training) {
      fill_normal(bn.running_mean, 0.3, 1, RandomStream::test, 30);
      fill_uniform(bn.running_variance, 0.5, 2, 1, RandomStream::test, 31);
    }
    bn.train(is_training);
    const Tensor x = random_parameter({3, 7, 6, 4}, 20, placement);
    const Tensor first = random_parameter({8, 3, 3, 4}, 21, placement, 0.3);
    const Tensor second = random_parameter({8, options.kernel, options.kernel, 8 / options.groups}, 22, placement, 0.3);

    const Tensor h = conv2d(x, first, {.padding = 1});
    const Tensor y = is_fused ? conv2d(bn.relu_on_load(h), second, options) : conv2d(bn(h, {.relu = true}), second, options);
    backward(weighted_sum(y));
    return {.y = y,
            .gradients = {{"x", gradient_of(x)},
                          {"first", gradient_of(first)},
                          {"second", gradient_of(second)},
                          {"bn.weight", gradient_of(bn.weight)},
                          {"bn.bias", gradient_of(bn.bias)}},
            .buffers = bn.buffers()};
  }
};

TEST_P(FusedBatchNorm, AgreesWithTheTwoLayers) {
  const double tolerance = GetParam().tolerance;
  const Outcome fused = run_network(true), unfused = run_network(false);
  expect_close(fused.y, unfused.y, tolerance, "y");
  for (std::size_t i = 0; i < fused.gradients.size(); ++i) {
    ASSERT_TRUE(fused.gradients[i].tensor && unfused.gradients[i].tensor) << fused.gradients[i].name;
    expect_close(fused.gradients[i].tensor, unfused.gradients[i].tensor, tolerance, "gradient of " + fused.gradients[i].name);
  }
  for (std::size_t i = 0; i < fused.buffers.size(); ++i) expect_close(fused.buffers[i].tensor, unfused.buffers[i].tensor, tolerance, fused.buffers[i].name);
}

constexpr Conv2dOptions kSame{.kernel = 3, .padding = 1}, kStrided{.kernel = 3, .stride = 2, .padding = 1}, kShortcut{.kernel = 1, .stride = 2},
    kGrouped{.kernel = 3, .padding = 1, .groups = 2};

INSTANTIATE_TEST_SUITE_P(All, FusedBatchNorm,
                         testing::Values(Fusion{kExact, 1e-11, kSame, true, "reference"}, Fusion{kExact, 1e-11, kSame, false, "reference_evaluation"},
                                         Fusion{kExact, 1e-11, kStrided, true, "reference_strided"}, Fusion{kCpu, 1e-5, kSame, true, "cpu"},
                                         Fusion{kCpu, 1e-5, kSame, false, "cpu_evaluation"}, Fusion{kCpu, 1e-5, kStrided, true, "cpu_strided"},
                                         Fusion{kCpu, 1e-5, kShortcut, true, "cpu_shortcut"}, Fusion{kCpu, 1e-5, kGrouped, true, "cpu_grouped"}),
                         [](const auto& fusion) { return fusion.param.name; });

void give_weights(BatchNorm& bn, bool is_training) {
  randomise(bn, 40);
  fill_uniform(bn.running_variance, 0.5, 2, 1, RandomStream::test, 43);
  bn.train(is_training);
}

TEST(FusedBatchNorm, Gradients) {
  const PlacementScope scope(kExact);
  for (const bool is_training : {true, false}) {
    SCOPED_TRACE(is_training ? "training" : "evaluation");
    BatchNorm bn(3);
    give_weights(bn, is_training);
    const Tensor x = random_parameter({2, 4, 4, 3}, 41), weight = random_parameter({2, 3, 3, 3}, 42);
    expect_gradients({{"x", x}, {"bn.weight", bn.weight}, {"bn.bias", bn.bias}, {"weight", weight}},
                     [&] { return conv2d(bn.relu_on_load(x), weight, {.padding = 1}); });
  }
}

// Beside a shortcut: the gradient that comes through it is added on the way through the normalisation, not in a pass of its own.
TEST(FusedBatchNorm, GradientsBesideAShortcut) {
  const PlacementScope scope(kExact);
  for (const bool is_training : {true, false}) {
    SCOPED_TRACE(is_training ? "training" : "evaluation");
    BatchNorm bn(3);
    give_weights(bn, is_training);
    const Tensor x = random_parameter({2, 4, 4, 3}, 41), first = random_parameter({3, 1, 1, 3}, 44), second = random_parameter({3, 3, 3, 3}, 42);
    const auto block = [&] {
      const Tensor h = conv2d(x, first, {.kernel = 1});
      return add(conv2d(bn.relu_on_load(h), second, {.padding = 1}), h);
    };
    expect_gradients({{"x", x}, {"bn.weight", bn.weight}, {"bn.bias", bn.bias}, {"first", first}, {"second", second}}, block);
    for (const Tensor& leaf : {x, bn.weight, bn.bias, first, second}) clear_gradient(leaf);
    const Tensor sum = weighted_sum(block());
    const OperationLog log;
    backward(sum);
    for (const auto& [name, cost] : log.entries()) EXPECT_NE(std::string_view(name), "add");
  }
}

// ---- the statistics left with the output ----

TEST(Conv2dStatistics, AreThoseOfTheOutput) {
  for (const Placement& placement : {kExact, kCpu}) {
    const Tensor x = random_tensor({3, 7, 6, 4}, 50, placement), weight = random_parameter({8, 3, 3, 4}, 51, placement);
    const Tensor y = conv2d(x, weight, {.padding = 1});
    const BatchStatistics& left = y.history()->statistics;
    ASSERT_TRUE(left.mean && left.variance);
    const auto [N, P, Q, K] = y.shape().extents<4>();
    for (std::int64_t k = 0; k < K; ++k) {
      double mean = 0, variance = 0;
      for (std::int64_t i = k; i < y.size(); i += K) mean += y.view().at_offset(i) / static_cast<double>(N * P * Q);
      for (std::int64_t i = k; i < y.size(); i += K) variance += std::pow(y.view().at_offset(i) - mean, 2) / static_cast<double>(N * P * Q);
      EXPECT_NEAR(left.mean.view().at(k), mean, 1e-5) << k;
      EXPECT_NEAR(left.variance.view().at(k), variance, 1e-5 * variance) << k;
    }
  }
}

TEST(Conv2dStatistics, AreFoundByTheNormalisation) {
  const PlacementScope scope(kExact);
  const BatchNorm found(4), computed(4);
  const Tensor x = random_tensor({3, 5, 4, 2}, 60), weight = random_parameter({4, 3, 3, 2}, 61);
  const Tensor y = conv2d(x, weight, {.padding = 1});
  const auto runs_statistics = [](const std::function<void()>& body) {
    const OperationLog log;
    body();
    return std::any_of(log.entries().begin(), log.entries().end(), [](const auto& entry) { return std::string_view(entry.name) == "batch_norm_statistics"; });
  };
  Tensor with, without;
  EXPECT_FALSE(runs_statistics([&] { with = found(y); }));
  EXPECT_TRUE(runs_statistics([&] { without = computed(y.detached()); }));
  expect_close(with, without, 1e-13, "y");
  expect_close(found.running_mean, computed.running_mean, 1e-13, "running mean");
  expect_close(found.running_variance, computed.running_variance, 1e-13, "running variance");
}

TEST(Conv2dStatistics, AreNotComputedWhereNothingIsRecorded) {
  const Tensor x = random_tensor({3, 5, 4, 2}, 62), weight = random_parameter({4, 3, 3, 2}, 63);
  const NoGradient no_gradient;
  EXPECT_EQ(conv2d(x, weight, {.padding = 1}).history(), nullptr);
}

// ---- the sums that a normalisation before needs of its gradient ----

// conv2(bn(conv1(x)) + what else uses it); which of the operations were run to go back.
struct Asked {
  bool relu, has_residual, is_shortcut_used, is_shortcut_last;
  int reductions;
};

class AskedSums : public testing::TestWithParam<Asked> {
 protected:
  static std::map<std::string, int> count_backward(const Tensor& scalar) {
    const OperationLog log;
    backward(scalar);
    std::map<std::string, int> counts;
    for (const auto& [name, cost] : log.entries()) counts[name] += 1;
    return counts;
  }
};

TEST_P(AskedSums, AreTakenByTheLastStepThatCan) {
  const auto& [with_relu, has_residual, is_shortcut_used, is_shortcut_last, reductions] = GetParam();
  const PlacementScope scope(kExact);
  BatchNorm bn(4);
  randomise(bn, 70);
  const Tensor x = random_parameter({2, 5, 4, 3}, 71), first = random_parameter({4, 3, 3, 3}, 72), second = random_parameter({4, 3, 3, 4}, 73);
  const Tensor residual = has_residual ? random_parameter({2, 5, 4, 4}, 74) : Tensor();
  const auto network = [&] {
    const Tensor h = bn(conv2d(x, first, {.padding = 1}), {.residual = residual, .relu = with_relu});
    // NOTE: what is computed first goes back last.
    const Tensor early = is_shortcut_used && is_shortcut_last ? sigmoid(h) : Tensor();
    const Tensor y = conv2d(h, second, {.padding = 1});
    const Tensor late = is_shortcut_used && !is_shortcut_last ? sigmoid(h) : Tensor();
    return is_shortcut_used ? add(y, early ? early : late) : y;
  };
  std::vector<NamedTensor> inputs{{"x", x}, {"first", first}, {"second", second}, {"weight", bn.weight}, {"bias", bn.bias}};
  if (has_residual) inputs.push_back({"residual", residual});
  expect_gradients(inputs, network);
  EXPECT_EQ(count_backward(weighted_sum(network()))["batch_norm_backward_reduce"], reductions);
}

INSTANTIATE_TEST_SUITE_P(All, AskedSums,
                         testing::Values(Asked{false, false, false, false, 0}, Asked{true, false, false, false, 0}, Asked{true, true, false, false, 0},
                                         Asked{false, true, false, false, 0}, Asked{true, true, true, false, 0}, Asked{true, true, true, true, 1},
                                         Asked{false, true, true, true, 1}));

TEST(SumsOfTheGradient, AreTakenByTheLastOfTwoConvolutions) {
  const PlacementScope scope(kExact);
  BatchNorm bn(4);
  randomise(bn, 75);
  const Tensor x = random_parameter({2, 5, 4, 4}, 76), one = random_parameter({4, 3, 3, 4}, 77), other = random_parameter({4, 1, 1, 4}, 78);
  const auto network = [&] {
    const Tensor h = bn(x, {.relu = true});
    return add(conv2d(h, other, {}), conv2d(h, one, {.padding = 1}));
  };
  expect_gradients({{"x", x}, {"one", one}, {"other", other}, {"weight", bn.weight}, {"bias", bn.bias}}, network);
}

// A use of the normalisation's output that no gradient comes from leaves the sums to the normalisation.
TEST(SumsOfTheGradient, AreNotTakenBesideAUseThatIsNotPartOfTheLoss) {
  const PlacementScope scope(kExact);
  BatchNorm bn(4);
  randomise(bn, 79);
  const Tensor x = random_parameter({2, 5, 4, 4}, 80), weight = random_parameter({4, 3, 3, 4}, 81);
  Tensor unused;
  const auto network = [&] {
    const Tensor h = bn(x, {.relu = true});
    unused = sigmoid(h);
    return conv2d(h, weight, {.padding = 1});
  };
  expect_gradients({{"x", x}, {"weight", weight}, {"scale", bn.weight}, {"bias", bn.bias}}, network);
}

// ---- the module, and what is refused ----

TEST(Conv2dModule, StartsWithTheDeviationOfItsOutputs) {
  Conv2d layer(48, 64, {.kernel = 3, .padding = 1});
  EXPECT_EQ(layer.weight.shape(), (Shape{64, 3, 3, 48}));
  layer.initialise(1);
  double squares = 0;
  for (std::int64_t i = 0; i < layer.weight.size(); ++i) squares += std::pow(layer.weight.view().at_offset(i), 2);
  const double deviation = std::sqrt(2.0 / (3 * 3 * 64));
  // Five standard errors.
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(layer.weight.size())), deviation,
              5 * deviation / std::sqrt(2.0 * static_cast<double>(layer.weight.size())));
  EXPECT_EQ(Conv2d(8, 6, {.kernel = 3, .groups = 2}).weight.shape(), (Shape{6, 3, 3, 4}));
}

TEST(Conv2dModule, TakesBothKindsOfInput) {
  const PlacementScope scope(kExact);
  const Conv2d layer(3, 2, {.kernel = 3, .padding = 1});
  randomise(layer, 70);
  const BatchNorm bn(3);
  const Tensor x = random_tensor({2, 4, 4, 3}, 71);
  EXPECT_EQ(relative_error(layer(x), conv2d(x, layer.weight, {.padding = 1})), 0);
  expect_close(layer(bn.relu_on_load(x)), layer(bn(x, {.relu = true})), 1e-13, "fused");
}

TEST(Conv2dModule, WrongArgumentsAreErrors) {
  expect_error([] { Conv2d(3, 4, {.groups = 2}); }, "[conv2d] 2 groups must divide 3 input and 4 output channels");
  expect_error([] { Conv2d(4, 3, {.groups = 2}); }, "[conv2d] 2 groups must divide 4 input and 3 output channels");
  expect_error([] { Conv2d(4, 4, {.groups = 0}); }, "[conv2d] 0 groups must divide");
  const Tensor x = random_tensor({2, 4, 4, 3}, 72), weight = random_tensor({2, 3, 3, 3}, 73);
  expect_error([&] { conv2d(x, weight, {.stride = 0}); }, "[conv2d] stride is 0, expected 1 or more");
  expect_error([&] { conv2d(x, weight, {.padding = -1}); }, "[conv2d] padding is -1, expected 0 or more");
  expect_error([&] { conv2d(x, random_tensor({2, 5, 5, 3}, 74), {}); }, "[conv2d] a kernel of 5x5 does not fit into x (2,4,4,3) with padding 0");
  expect_error([&] { conv2d(x, random_tensor({2, 3, 3, 4}, 75), {}); }, "[conv2d] weight is (2,3,3,4), expected (2,3,3,3)");
}

}  // namespace
}  // namespace isda
