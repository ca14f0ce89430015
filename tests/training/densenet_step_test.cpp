// SPDX-License-Identifier: Apache-2.0
// A step of a DenseNet, with its channels side by side and the statistics that go along with them: recorded it does what kernels enqueued one by one do, and
// it leaves nothing behind.
#include <gtest/gtest.h>

#include "core/autograd.h"
#include "losses/cross_entropy.h"
#include "models/registry.h"
#include "tests/core/card.h"
#include "tests/layers/numeric_gradient.h"
#include "training/step.h"

namespace isda {
namespace {

constexpr const char* kModel = "densenet_bc10_4";

class DenseNetStep : public OnTheCardTest {
 protected:
  // The losses of four steps of two images of noise.
  static std::vector<double> losses(bool is_recorded) {
    const PlacementScope scope({Device::cuda, DType::f32});
    Dataset dataset{.name = "noise", .class_names = std::vector<std::string>(10, "class"), .mean = {128, 128, 128}, .deviation = {64, 64, 64}};
    for (std::int64_t i = 0; i < 8 * dataset.train.image_bytes(); ++i) dataset.train.pixels.push_back(static_cast<std::uint8_t>(i * 2654435761u >> 13));
    for (std::int32_t i = 0; i < 8; ++i) dataset.train.labels.push_back(i);
    const auto network = find_network(kModel).make(10);
    network->initialise(5);
    CrossEntropyLoss loss;
    SgdOptimizer optimizer(*network, {});
    optimizer.set_learning_rate(0.1);
    const ResidentImages images(dataset.train, dataset.mean, dataset.deviation, Device::cuda);
    Loader loader(dataset.train, dataset.mean, dataset.deviation, {.batch_size = 2, .workers = 0, .makes_images = false});
    TrainingStep step(*network, loss, optimizer, &images, {.placement = PlacementScope::current(), .is_recorded = is_recorded});
    for (const Batch& batch : loader.epoch(0)) step.run(batch);
    std::vector<double> result;
    for (const auto& [value, correct] : step.read_journal()) result.push_back(value);
    return result;
  }
};

TEST_F(DenseNetStep, RecordedIsAsEnqueuedOneByOne) {
  const auto recorded = losses(true);
  ASSERT_EQ(recorded.size(), 4u);
  EXPECT_EQ(recorded, losses(false));
  EXPECT_NE(recorded[2], recorded[3]);
}

TEST(DenseNetMemory, AStepLeavesNothingBehind) {
  const auto network = find_network(kModel).make(10);
  network->initialise(1);
  const Tensor images = random_tensor({2, 8, 8, 3}, 1, {Device::cpu, DType::f32}), labels = Tensor::zeros({2}, DType::i32);
  const auto step = [&] { backward(cross_entropy(network->logits(images), labels).loss); };
  for (int i = 0; i < 4; ++i) step();
  const auto warm = memory_statistics();
  step();
  EXPECT_EQ(memory_statistics().in_use, warm.in_use);
  EXPECT_EQ(memory_statistics().system_allocations, warm.system_allocations);
}

}  // namespace
}  // namespace isda
