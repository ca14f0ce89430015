// SPDX-License-Identifier: Apache-2.0
// The tree of a network: names and their order, training and evaluation, initial values, placement.
#include "core/module.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "core/autograd.h"
#include "core/mixed_precision.h"

namespace isda {
namespace {

using Names = std::vector<std::string>;

Names names_of(const std::vector<NamedTensor>& tensors) {
  Names names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

struct Leaf : Module {
  explicit Leaf(std::int64_t width)
      : weight(add_parameter("weight", {width, 3}, Initial::normal(0.5))),
        bias(add_parameter("bias", {width}, Initial::uniform(0.25))),
        mean(add_buffer("mean", {width}, 4)) {}
  const Tensor weight, bias, mean;
};

struct Branch : Module {
  Branch() : first(child<Leaf>("first", 2)), scale(add_parameter("scale", {1}, Initial::constant(7))), second(child<Leaf>("second", 5)) {}
  const Leaf& first;
  const Tensor scale;
  const Leaf& second;
};

struct Root : Module {
  Root() : trunk(child<Branch>("trunk")), twin(child<Branch>("twin")) {}
  const Branch &trunk, &twin;
};

std::vector<double> elements(const Tensor& tensor) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < tensor.size(); ++i) result.push_back(tensor.view().at_offset(i));
  return result;
}

TEST(Module, ParametersComeDepthFirstInOrderOfDeclaration) {
  const Root root;
  EXPECT_EQ(names_of(root.parameters()), (Names{"trunk.scale", "trunk.first.weight", "trunk.first.bias", "trunk.second.weight", "trunk.second.bias",
                                                "twin.scale", "twin.first.weight", "twin.first.bias", "twin.second.weight", "twin.second.bias"}));
  EXPECT_EQ(names_of(root.buffers()), (Names{"trunk.first.mean", "trunk.second.mean", "twin.first.mean", "twin.second.mean"}));
  EXPECT_EQ(root.parameter_count(), 2 * (1 + 2 * 4 + 5 * 4));
}

TEST(Module, WhatIsListedIsWhatTheModuleHolds) {
  const Root root;
  const auto parameters = root.parameters();
  EXPECT_EQ(parameters[1].tensor.view().data(), root.trunk.first.weight.view().data());
  EXPECT_EQ(parameters[1].tensor.history(), root.trunk.first.weight.history());
  EXPECT_EQ(root.buffers()[3].tensor.view().data(), root.twin.second.mean.view().data());
}

TEST(Module, ParametersWantGradientsAndBuffersDoNot) {
  const Root root;
  for (const auto& [name, tensor] : root.parameters()) EXPECT_TRUE(needs_gradient(tensor)) << name;
  for (const auto& [name, tensor] : root.buffers()) {
    EXPECT_FALSE(needs_gradient(tensor)) << name;
    for (const double element : elements(tensor)) EXPECT_EQ(element, 4) << name;
  }
}

TEST(Module, TrainingAndEvaluationReachTheWholeTree) {
  Root root;
  const Module* parts[] = {&root, &root.trunk, &root.trunk.first, &root.trunk.second, &root.twin, &root.twin.second};
  for (const Module* part : parts) EXPECT_TRUE(part->is_training());
  root.evaluate();
  for (const Module* part : parts) EXPECT_FALSE(part->is_training());
  root.train();
  for (const Module* part : parts) EXPECT_TRUE(part->is_training());
}

TEST(Module, InitialiseIsAFunctionOfTheSeed) {
  Root a, b, c;
  a.initialise(1);
  b.initialise(1);
  c.initialise(2);
  const auto of_a = a.parameters(), of_b = b.parameters(), of_c = c.parameters();
  for (std::size_t i = 0; i < of_a.size(); ++i) {
    EXPECT_EQ(elements(of_a[i].tensor), elements(of_b[i].tensor)) << of_a[i].name;
    if (of_a[i].tensor.size() > 1) {
      EXPECT_NE(elements(of_a[i].tensor), elements(of_c[i].tensor)) << of_a[i].name;
    }
  }
  // Whatever was there before.
  c.initialise(1);
  for (std::size_t i = 0; i < of_a.size(); ++i) EXPECT_EQ(elements(of_a[i].tensor), elements(of_c[i].tensor)) << of_a[i].name;
}

TEST(Module, EachParameterHasNumbersOfItsOwn) {
  Root root;
  root.initialise(3);
  EXPECT_NE(elements(root.trunk.first.weight), elements(root.twin.first.weight));
  EXPECT_NE(elements(root.trunk.first.bias), elements(root.twin.first.bias));
  EXPECT_EQ(elements(root.trunk.scale), std::vector<double>{7});
}

struct Wide : Module {
  Wide() : normal(add_parameter("normal", {100, 100}, Initial::normal(0.3))), uniform(add_parameter("uniform", {100, 100}, Initial::uniform(0.2))) {}
  const Tensor normal, uniform;
};

TEST(Module, InitialValuesHaveTheDistributionAskedFor) {
  Wide wide;
  wide.initialise(11);
  const auto moments = [](const Tensor& tensor) {
    double sum = 0, squares = 0;
    for (const double element : elements(tensor)) {
      sum += element;
      squares += element * element;
    }
    const auto n = static_cast<double>(tensor.size());
    return std::pair(sum / n, std::sqrt(squares / n));
  };
  // Five standard errors of 10,000 numbers: 5 % of the deviation for the mean, 3.6 % for the deviation itself.
  const auto [mean, deviation] = moments(wide.normal);
  EXPECT_NEAR(mean, 0, 0.05 * 0.3);
  EXPECT_NEAR(deviation, 0.3, 0.036 * 0.3);
  const auto [uniform_mean, uniform_deviation] = moments(wide.uniform);
  EXPECT_NEAR(uniform_mean, 0, 0.05 * 0.2 / std::sqrt(3));
  EXPECT_NEAR(uniform_deviation, 0.2 / std::sqrt(3), 0.036 * 0.2);
  for (const double element : elements(wide.uniform)) ASSERT_LE(std::abs(element), 0.2);
}

TEST(Placement, ParametersAreMadeWhereTheScopeSays) {
  EXPECT_EQ(PlacementScope::current().device, Device::cpu);
  EXPECT_EQ(PlacementScope::current().type, DType::f32);
  const PlacementScope scope({Device::reference, DType::f64});
  const Root root;
  EXPECT_EQ(root.trunk.first.weight.device(), Device::reference);
  EXPECT_EQ(root.trunk.first.weight.type(), DType::f64);
  EXPECT_EQ(root.trunk.first.mean.type(), DType::f64);
  EXPECT_EQ(root.trunk.first.mean.device(), Device::reference);
}

TEST(Placement, ScopesNestAndEnd) {
  {
    const PlacementScope outer({Device::reference, DType::f64});
    {
      const PlacementScope inner({Device::cpu, DType::bf16});
      EXPECT_EQ(PlacementScope::current().type, DType::bf16);
      EXPECT_EQ(Wide().normal.type(), DType::f32) << "parameters beside bf16 activations are f32";
    }
    EXPECT_EQ(PlacementScope::current().device, Device::reference);
    EXPECT_EQ(PlacementScope::current().type, DType::f64);
    DType elsewhere = DType::f64;
    std::thread([&] { elsewhere = PlacementScope::current().type; }).join();
    EXPECT_EQ(elsewhere, DType::f32) << "a scope is of its thread";
  }
  EXPECT_EQ(PlacementScope::current().device, Device::cpu);
  EXPECT_EQ(PlacementScope::current().type, DType::f32);
}

TEST(Placement, TheSameSeedGivesTheSameValuesInEveryType) {
  Wide single;
  const PlacementScope scope({Device::reference, DType::f64});
  Wide exact;
  single.initialise(5);
  exact.initialise(5);
  for (std::int64_t i = 0; i < single.normal.size(); ++i) {
    ASSERT_EQ(single.normal.view().at_offset(i), static_cast<float>(exact.normal.view().at_offset(i))) << i;
  }
}

struct Weighted : Module {
  Weighted() : weight(add_weight("weight", {4, 3}, Initial::normal(1))), bias(add_parameter("bias", {4}, Initial::uniform(1))) {}
  const Tensor weight, bias;
};

TEST(MixedPrecision, OnlyWeightsUnderBf16HaveACopy) {
  const Weighted single;
  EXPECT_FALSE(bf16_copy_of(single.weight));
  EXPECT_EQ(operand_of(single.weight).view().data(), single.weight.view().data());
  EXPECT_FALSE(bf16_copy_of(Tensor::zeros({2})));

  const PlacementScope scope({Device::cpu, DType::bf16});
  const Weighted module;
  EXPECT_FALSE(bf16_copy_of(module.bias));
  EXPECT_EQ(operand_of(module.bias).view().data(), module.bias.view().data());
  EXPECT_EQ(operand_of(module.weight).type(), DType::bf16);
  EXPECT_EQ(module.weight.type(), DType::f32);
  EXPECT_FALSE(needs_gradient(operand_of(module.weight)));
  EXPECT_EQ(module.parameters().size(), 2u) << "a copy is no parameter";
}

TEST(MixedPrecision, TheCopyIsTheParameterRounded) {
  const PlacementScope scope({Device::cpu, DType::bf16});
  Weighted module;
  const auto expect_rounded = [&] {
    const View weight = module.weight, copy = bf16_copy_of(module.weight);
    for (std::int64_t i = 0; i < weight.size(); ++i) EXPECT_EQ(copy.as<bf16>()[i].bits, bf16(weight.as<float>()[i]).bits);
  };
  expect_rounded();
  module.initialise(1);
  EXPECT_NE(module.weight.view().at(0, 0), 0);
  expect_rounded();
  copy(Tensor::full({4, 3}, 1.0 / 3), module.weight);
  refresh_bf16_copy(module.weight);
  expect_rounded();
}

TEST(MixedPrecision, RefusesWhatIsNoParameter) {
  EXPECT_THROW(keep_bf16_copy(Tensor::zeros({2})), Error);
  EXPECT_THROW(keep_bf16_copy(parameter(Tensor::zeros({2}, DType::f64))), Error);
}

}  // namespace
}  // namespace isda
