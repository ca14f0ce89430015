// SPDX-License-Identifier: Apache-2.0
// Training on the card, which is the emulated one unless the tests are linked for a real one: the curve is the cpu's, a recorded step leaves the bits of the
// step it was recorded from, two runs leave the same bits whatever the order of threads and streams, and a warm step asks the driver for nothing.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>

#include "core/memory.h"
#include "core/mixed_precision.h"
#include "datasets/shapes.h"
#include "losses/center.h"
#include "losses/cross_entropy.h"
#include "losses/isda.h"
#include "losses/large_margin.h"
#include "models/resnet.h"
#include "tests/core/card.h"
#include "training/step.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

constexpr Placement kCpu{Device::cpu, DType::f32}, kCard{Device::cuda, DType::f32}, kCardBf16{Device::cuda, DType::bf16};
constexpr std::int64_t kBatch = 4, kImages = 10;  // the last batch of an epoch has two

struct Curve {
  std::vector<double> losses;
  std::vector<std::int64_t> hits;
  std::vector<NamedTensor> state;  // on the host
};

class CardStep : public OnTheCardTest {
 protected:
  static void SetUpTestSuite() {
    std::string pattern = (fs::temp_directory_path() / "isda-step-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    make_shapes(Context(Device::cpu), {.directory = folder_, .train = kImages, .test = 10, .seed = 3});
    dataset_ = new Dataset(load_dataset("shapes", folder_));
  }
  static void TearDownTestSuite() {
    delete dataset_;
    fs::remove_all(folder_);
  }

  // A network with everything that a step needs.
  struct Trained {
    Trained(const Placement& placement, const std::string& loss_name, const StepOptions& options)
        : scope(placement),
          network(8, 10),
          loss(make_loss(loss_name)),
          optimizer(network, {}),
          images(placement.device == Device::cuda
                     ? std::make_unique<ResidentImages>(dataset_->train, dataset_->mean, dataset_->deviation, Device::cuda, augmentation(loss_name))
                     : nullptr),
          loader(dataset_->train, dataset_->mean, dataset_->deviation,
                 {.batch_size = kBatch, .seed = 7, .augmentation = augmentation(loss_name), .workers = 0, .type = placement.type, .makes_images = !images}),
          step(network, *loss, optimizer, images.get(), with(options, placement, loss_name)) {
      network.initialise(5);
      optimizer.set_learning_rate(0.02);
      loss->set_progress(0.5);
    }

    static std::unique_ptr<Loss> make_loss(const std::string& name) {
      if (name == "ce" || name == "ce_mixed") return std::make_unique<CrossEntropyLoss>();
      if (name == "large_margin") return std::make_unique<LargeMarginLoss>(3);
      if (name == "center") return std::make_unique<CenterLoss>(10, 64, 0.05);
      // NOTE: more directions than a class has samples, so that nothing is given up: of what is as long as another the roundings would decide.
      if (name == "isda_low_rank") return std::make_unique<IsdaLoss>(10, 64, 2.0, Covariance::low_rank(20));
      return std::make_unique<IsdaLoss>(10, 64, 2.0, name == "isda_diagonal" ? Covariance::diagonal : Covariance::full, name == "isda_ahead" ? kBatch : 0);
    }
    // "ce_mixed": of images that a policy and Cutout have changed, and that are mixed with each other.
    static Augmentation augmentation(const std::string& name) {
      return name == "ce_mixed" ? augmentation_of({.policy = "autoaugment-cifar10", .color_jitter = 0.4, .cutout = 8}) : Augmentation{};
    }
    static StepOptions with(StepOptions options, const Placement& placement, const std::string& name) {
      // NOTE: with alphas of 0.5 and 1 an activation of the second step lies within 1e-7 of a ReLU's kink, and the cpu's on the other side of it.
      if (name == "ce_mixed") options.mix = {.mixup = 0.4, .cutmix = 0.8};
      options.placement = placement;
      options.seed = 7;
      return options;
    }

    Curve train(int epochs) {
      for (std::int32_t epoch = 0; epoch < epochs; ++epoch) {
        step.set_epoch(epoch);
        for (const Batch& batch : loader.epoch(epoch)) step.run(batch);
      }
      Curve curve;
      for (const auto& [value, correct] : step.read_journal()) {
        curve.losses.push_back(value);
        curve.hits.push_back(correct);
      }
      const auto add = [&](const std::vector<NamedTensor>& tensors) {
        for (const auto& [name, tensor] : tensors) curve.state.push_back({name, tensor.on_host()});
      };
      add(network.parameters());
      add(network.buffers());
      add(optimizer.state());
      add(loss->state());
      return curve;
    }

    const PlacementScope scope;
    CifarResNet network;
    std::unique_ptr<Loss> loss;
    SgdOptimizer optimizer;
    std::unique_ptr<ResidentImages> images;
    Loader loader;
    TrainingStep step;
  };

  static Curve trained(const Placement& placement, const std::string& loss, int epochs, const StepOptions& options = {}) {
    return Trained(placement, loss, options).train(epochs);
  }

  static void expect_same_bits(const Curve& a, const Curve& b) {
    EXPECT_EQ(a.losses, b.losses);
    EXPECT_EQ(a.hits, b.hits);
    ASSERT_EQ(a.state.size(), b.state.size());
    for (std::size_t i = 0; i < a.state.size(); ++i) {
      const Tensor &left = a.state[i].tensor, &right = b.state[i].tensor;
      ASSERT_EQ(left.bytes(), right.bytes());
      EXPECT_EQ(std::memcmp(left.view().data(), right.view().data(), static_cast<std::size_t>(left.bytes())), 0) << a.state[i].name;
    }
  }

  static fs::path folder_;
  static const Dataset* dataset_;
};
fs::path CardStep::folder_;
const Dataset* CardStep::dataset_ = nullptr;

// Another epoch of steps that are all recorded. A real card does not count its calls.
template <class Trained>
void expect_silence([[maybe_unused]] Trained& trained) {
#if defined(ISDA_EMULATED)
  const MemoryStatistics warm = memory_statistics(Device::cuda);
  emulator::reset_counters();
  for (const Batch& batch : trained.loader.epoch(2)) trained.step.run(batch);
  const auto calls = emulator::api_calls();
  EXPECT_EQ(calls.at("cudaGraphLaunch"), 3u);
  for (const char* function : {"cudaMalloc", "cudaMallocHost", "cudaFree", "cudaFreeHost", "cudaStreamSynchronize", "cudaDeviceSynchronize",
                               "cudaEventSynchronize", "cudaMemcpy", "cudaGraphInstantiate", "enqueue"}) {
    EXPECT_EQ(calls.contains(function), false) << function;
  }
  EXPECT_EQ(memory_statistics(Device::cuda).in_use, warm.in_use) << "a step leaves nothing behind";
  EXPECT_EQ(memory_statistics(Device::cuda).system_allocations, warm.system_allocations);
#endif
}

class LossesOnTheCard : public CardStep, public testing::WithParamInterface<const char*> {};

// NOTE: both in one, of one training: a second on the emulated card.
TEST_P(LossesOnTheCard, HaveTheCpusCurveAndAskTheDriverForNothing) {
  const Curve cpu = trained(kCpu, GetParam(), 2);
  Trained on_card(kCard, GetParam(), {});
  const Curve card = on_card.train(2);
  ASSERT_EQ(card.losses.size(), 6u);
  for (std::size_t step = 0; step < cpu.losses.size(); ++step) {
    // NOTE: roundings of f32 grow from step to step, as between two orders of summation on one device.
    EXPECT_NEAR(card.losses[step], cpu.losses[step], 2e-4 * cpu.losses[step]) << "step " << step;
  }
  expect_silence(on_card);
}

INSTANTIATE_TEST_SUITE_P(All, LossesOnTheCard, testing::Values("ce", "large_margin", "center", "isda_full", "isda_ahead", "isda_diagonal", "isda_low_rank"),
                         [](const auto& loss) { return std::string(loss.param); });

struct Recorded {
  DType type;
  const char* loss;
};

class RecordedOnTheCard : public CardStep, public testing::WithParamInterface<Recorded> {};

TEST_P(RecordedOnTheCard, LeavesTheSameBitsAsStepByStepInAnyOrder) {
  const auto& [type, loss] = GetParam();
  const Placement card{Device::cuda, type};
  const Curve eager = trained(card, loss, 2, {.is_recorded = false});
#if defined(ISDA_EMULATED)
  const DeferredStreams deferred;
  emulator::options().order = emulator::Order::pct;
#endif
  expect_same_bits(trained(card, loss, 2), eager);
}

INSTANTIATE_TEST_SUITE_P(All, RecordedOnTheCard,
                         testing::Values(Recorded{DType::f32, "isda_full"}, Recorded{DType::f32, "ce_mixed"}, Recorded{DType::bf16, "isda_ahead"}),
                         [](const auto& of) { return fmt::format("{}_{}", name_of(of.param.type), of.param.loss); });

TEST_F(CardStep, CurveInBf16IsTheReferences) {
  const Curve reference = trained({Device::reference, DType::bf16}, "isda_full", 1), card = trained(kCardBf16, "isda_full", 1);
  ASSERT_EQ(card.losses.size(), reference.losses.size());
  for (std::size_t step = 0; step < card.losses.size(); ++step) {
    EXPECT_NEAR(card.losses[step], reference.losses[step], 1e-3 * reference.losses[step]) << "step " << step;
  }
}

TEST_F(CardStep, UpdatesTheParametersAndTheirBf16Copies) {
  Trained trained(kCardBf16, "ce", {});
  const auto expect_rounded = [&](const char* when) {
    int copies = 0;
    for (const auto& [name, tensor] : trained.network.parameters()) {
      EXPECT_EQ(tensor.type(), DType::f32) << name;
      const Tensor copy = bf16_copy_of(tensor);
      EXPECT_EQ(static_cast<bool>(copy), tensor.shape().rank() == 4) << name << " " << when;
      if (!copy) continue;
      EXPECT_EQ(first_difference(copy.on_host(), tensor.to(DType::bf16, Device::cpu)), -1) << name << " " << when;
      ++copies;
    }
    EXPECT_EQ(copies, 9) << "the convolutions of a ResNet-8";
  };
  expect_rounded("at the start");
  const auto before = trained.network.parameters().front().tensor.on_host().clone();
  trained.train(2);
  expect_rounded("after training");
  EXPECT_NE(first_difference(trained.network.parameters().front().tensor.on_host(), before), -1);
}

TEST_F(CardStep, RecordsOneGraphForEachSizeOfBatch) {
  Trained trained(kCard, "ce", {});
  trained.train(2);
  EXPECT_GT(trained.step.graph_nodes(kBatch), 50u);
  EXPECT_EQ(trained.step.graph_nodes(kImages % kBatch), trained.step.graph_nodes(kBatch)) << "the last batch of an epoch, from the second epoch on";
  EXPECT_EQ(trained.step.graph_nodes(kBatch + 1), 0u);
}

TEST_F(CardStep, OfMixedImagesHasTheCpusCurveAndAsksTheDriverForNothing) {
  const Curve cpu = trained(kCpu, "ce_mixed", 2);
  Trained on_card(kCard, "ce_mixed", {});
  const Curve card = on_card.train(2);
  ASSERT_EQ(card.losses.size(), 6u);
  // NOTE: of mixed images a difference in the last digit grows tenfold a step: the curves part from 1e-6 in the third to 1e-4 in the fifth.
  for (std::size_t step = 0; step < 4; ++step) EXPECT_NEAR(card.losses[step], cpu.losses[step], 1e-4 * cpu.losses[step]) << step;
  expect_silence(on_card);
}

TEST_F(CardStep, TheJournalSaysWhenItIsFull) {
  Trained trained(kCpu, "ce", {.journal_rows = 2});
  auto epoch = trained.loader.epoch(0);
  auto batch = epoch.begin();
  trained.step.run(*batch);
  EXPECT_FALSE(trained.step.is_journal_full());
  ++batch;
  trained.step.run(*batch);
  EXPECT_TRUE(trained.step.is_journal_full());
  ++batch;
  EXPECT_THROW(trained.step.run(*batch), Error);
  EXPECT_EQ(trained.step.read_journal().size(), 2u);
  EXPECT_EQ(trained.step.unread(), 0);
}

}  // namespace
}  // namespace isda
