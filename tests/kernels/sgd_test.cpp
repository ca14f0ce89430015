// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent beyond its case: two steps by hand, and messages.
#include "kernels/sgd/sgd.h"

#include <gtest/gtest.h>

#include "tests/kernels/array.h"
#include "tests/kernels/on_card.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

class SgdOn : public OnDevice {
 protected:
  // One parameter from 1, two steps with gradient 0.5, learning rate 0.1, weight decay 0.01.
  struct State {
    Array<float> parameter{{1}, 1.0f}, momentum{{1}};
  };
  State after_two_steps(double momentum, bool nesterov) {
    State state;
    const Array<float> gradient({1}, 0.5f), learning_rate({1}, 0.1f);
    const SgdTensor tensor{state.parameter, gradient, state.momentum};
    for (int step = 0; step < 2; ++step) {
      run(context, Sgd{.tensors = {&tensor, 1}, .learning_rate = learning_rate, .momentum = momentum, .weight_decay = 0.01, .nesterov = nesterov});
    }
    return state;
  }
};
ISDA_ON_EVERY_DEVICE(SgdOn);

TEST_P(SgdOn, Plain) {
  // g = 0.51, p = 0.949; g = 0.50949, p = 0.898051
  const State state = after_two_steps(0, false);
  EXPECT_FLOAT_EQ(state.parameter.values[0], 0.898051f);
  EXPECT_EQ(state.momentum.values[0], 0) << "with momentum 0 the buffer is left alone";
}

TEST_P(SgdOn, WithMomentum) {
  // b = 0.51, p = 0.949; g = 0.50949, b = 0.96849, p = 0.852151
  const State state = after_two_steps(0.9, false);
  EXPECT_FLOAT_EQ(state.momentum.values[0], 0.96849f);
  EXPECT_FLOAT_EQ(state.parameter.values[0], 0.852151f);
}

TEST_P(SgdOn, WithNesterov) {
  // b = 0.51, p = 1 - 0.1 (0.51 + 0.459) = 0.9031; g = 0.509031, b = 0.968031, p = 0.9031 - 0.1 (0.509031 + 0.8712279)
  const State state = after_two_steps(0.9, true);
  EXPECT_FLOAT_EQ(state.momentum.values[0], 0.968031f);
  EXPECT_FLOAT_EQ(state.parameter.values[0], 0.76507411f);
}

TEST_P(SgdOn, TheCopyIsTheUpdatedParameterRounded) {
  // Just above, at and below the middle between 1 and the next bf16, and at a middle whose even neighbour is the upper one.
  const Array<float> after({5}, {1 + 0x1p-8f + 0x1p-20f, 1 + 0x1p-8f, 1 + 0x1p-8f - 0x1p-20f, 1 + 0x3p-8f, -5}), zeros({5}), rate({1}, 0.5f);
  Array<float> parameter = after;
  Array<bf16> copy({5});
  const SgdTensor tensor{.parameter = parameter, .gradient = zeros, .copy = copy};
  run(context, Sgd{.tensors = {&tensor, 1}, .learning_rate = rate});
  const std::vector<float> expected{1 + 0x1p-7f, 1, 1, 1 + 0x2p-7f, -5};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(static_cast<float>(copy.values[i]), expected[i]) << i;

  const Array<float> ones({5}, 1.0f);
  const SgdTensor moved{.parameter = parameter, .gradient = ones, .copy = copy};
  run(context, Sgd{.tensors = {&moved, 1}, .learning_rate = rate});
  EXPECT_EQ(static_cast<float>(copy.values[4]), -5.5f) << "after the step, not before";
}

TEST(SgdOnReference, InDoublesToo) {
  Array<double> parameter({1}, 1.0), rate({1}, 0.25);
  const Array<double> gradient({1}, 1.0);
  Array<bf16> copy({1});
  const SgdTensor tensor{.parameter = parameter, .gradient = gradient, .copy = copy};
  run(Context(Device::reference), Sgd{.tensors = {&tensor, 1}, .learning_rate = rate});
  EXPECT_EQ(parameter.values[0], 0.75);
  EXPECT_EQ(static_cast<float>(copy.values[0]), 0.75f);
}

TEST(SgdOnCard, TheCopyHasTheBitsOfTheParameterRounded) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  for (const std::size_t shift : {0u, 1u}) {
    Problem p(DType::f32, 1, Device::cuda, shift);
    const auto tensors = std::make_shared<std::vector<SgdTensor>>();
    tensors->push_back({.parameter = p.parameter_inout("p", {4099}), .gradient = p.parameter("g", {4099}), .copy = p.output("copy", {4099}, DType::bf16)});
    p.forward(Sgd{.tensors = *tensors, .learning_rate = p.parameter("rate", {1}, constant(0.1))}, tensors);
    p.run(Context(Device::cuda));
    for (std::int64_t i = 0; i < 4099; ++i) {
      ASSERT_EQ(value_of(p, "copy", i), static_cast<double>(bf16(static_cast<float>(value_of(p, "p", i))))) << i << " behind " << shift;
    }
  }
}

TEST(SgdOnCard, AGraphKeepsItsTableAndReadsTheLearningRateAnew) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  // 100 tensors of one element, which are two launches, their gradients, and the learning rate.
  constexpr std::int64_t kTensors = 100;
  const Context context(Device::cuda);
  std::vector<float> host(2 * kTensors + 1);
  for (std::size_t i = 0; i < kTensors; ++i) host[kTensors + i] = static_cast<float>(i);
  const auto bytes = host.size() * sizeof(float);
  auto* card = static_cast<float*>(cuda::allocate(bytes));
  cuda::copy_to_device(card, host.data(), bytes, context.stream());
  cuda::Graph graph(context.stream());
  {
    std::vector<SgdTensor> tensors;
    for (std::int64_t i = 0; i < kTensors; ++i) {
      tensors.push_back({.parameter = View(card + i, DType::f32, {1}), .gradient = View(card + kTensors + i, DType::f32, {1})});
    }
    run(context, Sgd{.tensors = tensors, .learning_rate = View(card + 2 * kTensors, DType::f32, {1})});
    std::fill(tensors.begin(), tensors.end(), SgdTensor());
  }
  graph.finish();
  EXPECT_EQ(graph.nodes(), 2u);
  for (const float rate : {1.0f, 0.5f}) {
    cuda::copy_to_device(card + 2 * kTensors, &rate, sizeof rate, context.stream());
    context.synchronise();
    graph.launch(context.stream());
  }
  cuda::copy_to_host(host.data(), card, bytes, context.stream());
  context.synchronise();
  for (std::size_t i = 0; i < kTensors; ++i) EXPECT_EQ(host[i], -1.5f * static_cast<float>(i)) << i;
  cuda::release(card);
}

TEST(SgdOnCard, SaysThatDoublesAreForTheReference) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  Array<double> values({1}, 1.0);
  const SgdTensor tensor{.parameter = values, .gradient = values};
  EXPECT_EQ(thrown_by([&] {
              run(Context(Device::cuda), Sgd{.tensors = {&tensor, 1}, .learning_rate = values});
            }),
            "[sgd] the cuda device keeps parameters in f32, got f64; use --device reference for f64");
}

TEST(SgdChecks, SayWhatWasGotAndExpected) {
  const Context context(Device::cpu, 1);
  Array<float> first({2, 3}), second({4}), rate({1}), rates({2});
  Array<double> doubles({4});
  std::vector<SgdTensor> tensors{{first, first, first}, {second, second, second}};
  const auto message = [&](const auto& change) {
    Sgd operation{.tensors = tensors, .learning_rate = rate, .momentum = 0.9};
    change(operation);
    return thrown_by([&] { run(context, operation); });
  };
  const auto nothing = [](Sgd&) {};
  EXPECT_EQ(message(nothing), "nothing was thrown");
  EXPECT_EQ(message([](Sgd& op) { op.tensors = {}; }), "[sgd] there are no tensors to update");
  EXPECT_EQ(message([](Sgd& op) { op.momentum = -1; }), "[sgd] momentum is -1, expected 0 to 1");
  EXPECT_EQ(message([](Sgd& op) { op.weight_decay = -0.5; }), "[sgd] weight_decay is -0.5, expected 0 or more");
  EXPECT_EQ(message([](Sgd& op) { op.momentum = 0, op.nesterov = true; }), "[sgd] nesterov needs a momentum above 0");
  EXPECT_EQ(message([&](Sgd& op) { op.learning_rate = rates; }), "[sgd] learning_rate is (2), expected (1): one learning rate for all tensors");

  tensors[1].gradient = first;
  EXPECT_EQ(message(nothing), "[sgd] the gradient of tensor 1 is (2,3), expected (4): the shape of its parameter");
  tensors[1].gradient = {};
  EXPECT_EQ(message(nothing), "[sgd] the gradient of tensor 1 was not given");
  tensors[1].gradient = doubles;
  EXPECT_EQ(message(nothing), "[sgd] the gradient of tensor 1 is f64, expected f32 as the first parameter");
  tensors[1] = {second, second, second, second};
  EXPECT_EQ(message(nothing), "[sgd] the copy of tensor 1 is f32, expected bf16");
  Array<bf16> copy({2, 3});
  tensors[1].copy = copy;
  EXPECT_EQ(message(nothing), "[sgd] the copy of tensor 1 is (2,3), expected (4): the shape of its parameter");
  tensors[0].copy = copy;
  tensors[1] = {.parameter = second, .gradient = second};
  EXPECT_EQ(message(nothing), "[sgd] the momentum of tensor 1 was not given");
  EXPECT_EQ(message([](Sgd& op) { op.momentum = 0; }), "nothing was thrown");
}

}  // namespace
}  // namespace isda::kernels
