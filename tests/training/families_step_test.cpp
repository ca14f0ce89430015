// SPDX-License-Identifier: Apache-2.0
// Every family on the card, which is the emulated one unless the tests are linked for a real one: loss and gradients of the smallest member are the cpu's; a
// recorded step does, replay by replay, what kernels enqueued one by one do; and one of a network that draws follows the step's number.
#include <gtest/gtest.h>

#include <cstring>

#include "models/registry.h"
#include "tests/core/card.h"
#include "tests/models/expect_network.h"
#include "training/step.h"

namespace isda {
namespace {

constexpr Placement kCpu{Device::cpu, DType::f32}, kCard{Device::cuda, DType::f32}, kCardBf16{Device::cuda, DType::bf16};

class FamiliesOnTheCard : public OnTheCardTest, public testing::WithParamInterface<const char*> {
 protected:
  MakeNetwork make() const {
    const NetworkEntry entry = find_network(GetParam());
    return [entry] { return entry.make({.classes = 10, .dropout = entry.has_dropout ? 0.3 : 0, .seed = 2}); };
  }
};

// NOTE: in a PyramidNet shifts stand in front of normalisations without a ReLU between them: their gradients are rounding.
TEST_P(FamiliesOnTheCard, AStepIsTheCpus) {
  const double nothing = std::string_view(GetParam()).find("pyramid") != std::string_view::npos ? 1e-6 : 0;
  expect_same_step(step_outcome(make(), kCard, 8), step_outcome(make(), kCpu, 8), 1e-4, nothing);
}

// NOTE: bf16 keeps 8 bits, and gradients pass through some ten roundings; what is held is that every layer computes in it.
TEST_P(FamiliesOnTheCard, ComputesInBf16) {
  const double loss = step_outcome(make(), kCardBf16, 8).loss, expected = step_outcome(make(), kCpu, 8).loss;
  EXPECT_NEAR(loss, expected, 0.05 * expected);
}

INSTANTIATE_TEST_SUITE_P(All, FamiliesOnTheCard,
                         testing::Values("preact_resnet8", "se_resnet8", "wide_resnet10_1", "se_wide_resnet10_1", "resnext11_2x4", "shake_shake8_2x4",
                                         "pyramidnet8_6", "shakedrop_pyramidnet8_6"),
                         [](const auto& name) { return std::string(name.param); });

// Images of noise, eight of 32x32.
Dataset noise() {
  Dataset dataset{.name = "noise", .class_names = std::vector<std::string>(10, "class"), .mean = {128, 128, 128}, .deviation = {64, 64, 64}};
  for (std::int64_t i = 0; i < 8 * dataset.train.image_bytes(); ++i) dataset.train.pixels.push_back(static_cast<std::uint8_t>(i * 2654435761u >> 13));
  for (std::int32_t i = 0; i < 8; ++i) dataset.train.labels.push_back(i);
  return dataset;
}

class RecordedStep : public OnTheCardTest, public testing::WithParamInterface<const char*> {
 protected:
  struct Trained {
    std::vector<double> losses;
    std::vector<NamedTensor> parameters;  // on the host
  };

  // Four steps of two images, numbered from `first`.
  static Trained trained(const Placement& placement, bool is_recorded, std::int64_t first = 0) {
    const PlacementScope scope(placement);
    const Dataset dataset = noise();
    const NetworkEntry entry = find_network(GetParam());
    const auto network = entry.make({.classes = 10, .dropout = entry.has_dropout ? 0.3 : 0, .seed = 2});
    network->initialise(5);
    CrossEntropyLoss loss;
    SgdOptimizer optimizer(*network, {});
    optimizer.set_learning_rate(0.02);
    const auto images =
        placement.device == Device::cuda ? std::make_unique<ResidentImages>(dataset.train, dataset.mean, dataset.deviation, Device::cuda) : nullptr;
    Loader loader(dataset.train, dataset.mean, dataset.deviation, {.batch_size = 2, .workers = 0, .makes_images = !images});
    TrainingStep step(*network, loss, optimizer, images.get(), {.placement = placement, .is_recorded = is_recorded});
    step.set_step(first);
    for (const Batch& batch : loader.epoch(0)) step.run(batch);
    Trained result;
    for (const auto& [value, correct] : step.read_journal()) result.losses.push_back(value);
    for (const auto& [name, tensor] : network->parameters()) result.parameters.push_back({name, tensor.on_host()});
    return result;
  }
};

TEST_P(RecordedStep, IsAsEnqueuedOneByOne) {
  const Trained recorded = trained(kCard, true), enqueued = trained(kCard, false);
  ASSERT_EQ(recorded.losses.size(), 4u);
  EXPECT_NE(recorded.losses[2], recorded.losses[3]);
  EXPECT_EQ(recorded.losses, enqueued.losses);
  for (std::size_t i = 0; i < recorded.parameters.size(); ++i) {
    EXPECT_EQ(first_difference(recorded.parameters[i].tensor, enqueued.parameters[i].tensor), -1) << recorded.parameters[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RecordedStep, testing::Values("wide_resnet10_1", "densenet_bc10_4", "shake_shake8_2x2", "shakedrop_pyramidnet8_6"),
                         [](const auto& name) { return std::string(name.param); });

class DrawingStep : public RecordedStep {};

TEST_P(DrawingStep, CurveIsTheCpusAndFollowsTheNumberOfTheStep) {
  const Trained card = trained(kCard, true), cpu = trained(kCpu, false), later = trained(kCpu, false, 4);
  for (std::size_t step = 0; step < 4; ++step) {
    EXPECT_NEAR(card.losses[step], cpu.losses[step], 2e-4 * cpu.losses[step]) << "step " << step;
    EXPECT_GT(std::abs(later.losses[step] - cpu.losses[step]), 1e-3) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DrawingStep, testing::Values("wide_resnet10_1", "shake_shake8_2x2", "shakedrop_pyramidnet8_6"),
                         [](const auto& name) { return std::string(name.param); });

// Of a DenseNet, whose channels and statistics go along from layer to layer.
TEST(DenseNetMemory, AStepLeavesNothingBehind) {
  const auto network = find_network("densenet_bc10_4").make(10);
  network->initialise(1);
  const Tensor images = random_tensor({2, 8, 8, 3}, 1, kCpu), labels = Tensor::zeros({2}, DType::i32);
  const auto step = [&] { backward(cross_entropy(network->logits(images), labels).loss); };
  for (int i = 0; i < 4; ++i) step();
  const auto warm = memory_statistics();
  step();
  EXPECT_EQ(memory_statistics().in_use, warm.in_use);
  EXPECT_EQ(memory_statistics().system_allocations, warm.system_allocations);
}

}  // namespace
}  // namespace isda
