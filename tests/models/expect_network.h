// SPDX-License-Identifier: Apache-2.0
// What every family's tests ask: the logits are those of the plain loops, in training and in evaluation, exactly and in f32 on the cpu; and the cpu's
// gradients are the reference's.
#pragma once
#include <algorithm>
#include <functional>
#include <memory>

#include "losses/cross_entropy.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"
#include "tests/models/plain_loops.h"

namespace isda {

using MakeNetwork = std::function<std::unique_ptr<Network>()>;

// Weights that are nowhere 0 or 1: a scale or shift in the wrong place is seen. Running statistics likewise.
inline void give_weights(const Network& network) {
  std::uint64_t array = 500;
  for (const auto& [name, tensor] : network.parameters()) {
    const bool is_scale = tensor.shape().rank() == 1 && name.ends_with("weight");
    const double deviation = tensor.shape().rank() == 4 ? std::sqrt(1.0 / static_cast<double>(tensor.size() / tensor.extent(0))) : 0.3;
    fill_normal(tensor, deviation, 2, RandomStream::test, array++);
    for (std::int64_t i = 0; is_scale && i < tensor.size(); ++i) tensor.view().set_offset(1 + tensor.view().at_offset(i), i);
  }
  for (const auto& [name, tensor] : network.buffers()) {
    fill_normal(tensor, 0.2, 2, RandomStream::test, array++);
    for (std::int64_t i = 0; name.ends_with("var") && i < tensor.size(); ++i) tensor.view().set_offset(1 + std::abs(tensor.view().at_offset(i)), i);
  }
}

// The number of the step in which expect_plain_logits asks for logits.
constexpr int kPlainStep = 3;

// `plain`: the logits by loops.
inline void expect_plain_logits(const MakeNetwork& make, const std::function<Tensor(const PlainNetwork&, const Maps&)>& plain, std::int64_t extent = 8) {
  for (const Placement& placement : {kExact, Placement{Device::cpu, DType::f32}}) {
    for (const bool is_training : {true, false}) {
      SCOPED_TRACE(fmt::format("{}, {}", name_of(placement.device), is_training ? "training" : "evaluation"));
      const PlacementScope scope(placement);
      const auto network = make();
      give_weights(*network);
      network->train(is_training);
      if (const Tensor step = network->step()) copy(Tensor::full({1}, kPlainStep, DType::i32), step);
      const Tensor images = random_tensor({3, extent, extent, 3}, 7, placement);
      const Tensor expected = plain(PlainNetwork(*network, is_training), PlainNetwork::maps_of(images));
      // NOTE: recorded, since then the convolutions leave their statistics; and not, since then they do not.
      const double tolerance = placement.type == DType::f64 ? 1e-11 : 2e-5;
      expect_close(network->logits(images).detached(), expected, tolerance, "logits, recorded");
      const NoGradient no_gradient;
      expect_close(network->logits(images), expected, tolerance, "logits");
    }
  }
}

struct StepOutcome {
  double loss;
  std::vector<NamedTensor> gradients, buffers;
};

// Forward and backward of one network from the same weights on another device. NOTE: as networks start, all biases are 0; where a normalisation stands behind
// another, with a ReLU between them, the scale of the first then has no effect, and its gradient is rounding alone: such a network needs biases.
inline StepOutcome step_outcome(const MakeNetwork& make, const Placement& placement, std::int64_t extent, bool has_biases = false) {
  const PlacementScope scope(placement);
  const auto network = make();
  network->initialise(4);
  std::uint64_t array = 700;
  for (const auto& [name, tensor] : network->parameters()) {
    if (has_biases && name.ends_with("bias")) copy(random_tensor(tensor.shape(), array++, {Device::cpu, DType::f32}), tensor);
  }
  if (const Tensor step = network->step()) copy(Tensor::full({1}, 3, DType::i32), step);
  // NOTE: the same numbers everywhere, those of f32.
  const Tensor images = random_tensor({2, extent, extent, 3}, 4, {Device::cpu, DType::f32}).to(placement.type, placement.device);
  const Tensor features = network->features(images);
  const Tensor loss = cross_entropy(network->classifier()(features), labels_of({1, 7}, placement.device)).loss;
  backward(loss);
  StepOutcome outcome{.loss = loss.on_host().item(), .gradients = {}, .buffers = {}};
  for (const auto& [name, tensor] : network->parameters()) outcome.gradients.push_back({name, gradient_of(tensor).on_host()});
  for (const auto& [name, tensor] : network->buffers()) outcome.buffers.push_back({name, tensor.on_host()});
  return outcome;
}

inline double largest_of(const ConstView& view) {
  double largest = 0;
  for (std::int64_t i = 0; i < view.size(); ++i) {
    if (!(std::abs(view.at_offset(i)) <= largest)) largest = std::abs(view.at_offset(i));
  }
  return largest;
}

// nothing: what is no larger on one side is rounding, and has to be so on the other: the gradient of a shift that a normalisation behind it takes away is 0.
inline void expect_same_step(const StepOutcome& got, const StepOutcome& expected, double tolerance, double nothing = 0) {
  EXPECT_NEAR(got.loss, expected.loss, tolerance * expected.loss);
  ASSERT_EQ(got.gradients.size(), expected.gradients.size());
  const auto expect_alike = [&](const Tensor& a, const Tensor& b, const std::string& what) {
    if (largest_of(b) <= nothing)
      EXPECT_LE(largest_of(a), nothing) << what;
    else
      expect_close(a, b, tolerance, what);
  };
  for (std::size_t i = 0; i < expected.gradients.size(); ++i)
    expect_alike(got.gradients[i].tensor, expected.gradients[i].tensor, "gradient of " + expected.gradients[i].name);
  for (std::size_t i = 0; i < expected.buffers.size(); ++i) expect_alike(got.buffers[i].tensor, expected.buffers[i].tensor, expected.buffers[i].name);
}

// All gradients of a block of `channels`, its parameters' and that of its input, are those of differences.
template <class Block>
void expect_block_gradients(const Block& block, std::int64_t channels) {
  randomise(block, 50, 0.7);
  const Tensor x = random_parameter({2, 4, 4, channels}, 60);
  auto leaves = block.parameters();
  leaves.push_back({"x", x});
  expect_gradients(
      leaves, [&] { return block(x); }, 1e-6);
}

// What a network draws in training is a function of the step's number and the seed; in evaluation it draws nothing.
inline void expect_draws_of_step_and_seed(const std::function<std::unique_ptr<Network>(std::uint64_t seed)>& make) {
  const PlacementScope scope({Device::cpu, DType::f32});
  const NoGradient no_gradient;
  const Tensor images = random_tensor({2, 8, 8, 3}, 3, {Device::cpu, DType::f32});
  const auto logits = [&](int step, std::uint64_t seed, bool is_training) {
    const auto network = make(seed);
    network->initialise(1);
    network->train(is_training);
    copy(Tensor::full({1}, step, DType::i32), network->step());
    return network->logits(images);
  };
  EXPECT_EQ(relative_error(logits(5, 1, true), logits(5, 1, true)), 0);
  EXPECT_GT(relative_error(logits(6, 1, true), logits(5, 1, true)), 1e-3);
  EXPECT_GT(relative_error(logits(5, 2, true), logits(5, 1, true)), 1e-3);
  EXPECT_EQ(relative_error(logits(6, 2, false), logits(5, 1, false)), 0) << "in evaluation nothing is drawn";
}

// Two blocks of the same weights draw differently. make(layer, step): a block of 16 channels.
template <class Make>
void expect_draws_of_layer(const Make& make) {
  const PlacementScope scope({Device::cpu, DType::f32});
  const NoGradient no_gradient;
  const Tensor step = Tensor::zeros({1}, DType::i32, Device::cpu), x = random_tensor({2, 8, 8, 16}, 4, {Device::cpu, DType::f32});
  const auto result = [&](std::uint32_t layer) {
    auto block = make(layer, step);
    block->initialise(1);
    return (*block)(x);
  };
  EXPECT_EQ(relative_error(result(0), result(0)), 0);
  EXPECT_GT(relative_error(result(1), result(0)), 1e-3);
}

inline bool has_name(const std::vector<NamedTensor>& tensors, const std::string& name) {
  return std::any_of(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) { return tensor.name == name; });
}

}  // namespace isda
