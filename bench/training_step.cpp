// SPDX-License-Identifier: Apache-2.0
// One training step of a CIFAR ResNet: forward, loss, backward, SGD; images already in memory. With cross-entropy and with ISDA, so that
// their ratio is the cost of the augmentation. bench/peers/resnet_step.py is the same step in PyTorch.
//
//   isda_bench --benchmark_filter=training_step/resnet32
#include <benchmark/benchmark.h>

#include "core/autograd.h"
#include "core/random.h"
#include "losses/cross_entropy.h"
#include "losses/isda.h"
#include "models/registry.h"
#include "training/optimizer.h"

namespace isda {
namespace {

enum class Kind { cross_entropy, isda_full, isda_diagonal };

std::unique_ptr<Loss> make_loss(Kind kind, const Network& network) {
  if (kind == Kind::cross_entropy) return std::make_unique<CrossEntropyLoss>();
  return std::make_unique<IsdaLoss>(network.classes(), network.feature_width(), 0.5, kind == Kind::isda_full ? Covariance::full : Covariance::diagonal);
}

void time_step(benchmark::State& state, const std::string& model, Kind kind, std::int64_t classes, std::int64_t batch) {
  const auto network = find_network(model).make(classes);
  network->initialise(1);
  const auto loss = make_loss(kind, *network);
  loss->set_progress(0.5);
  SgdOptimizer optimizer(*network, {.momentum = 0.9, .weight_decay = 1e-4, .nesterov = true});
  optimizer.set_learning_rate(0.01);
  const Tensor images({batch, 32, 32, 3});
  fill_normal(images, 1, 1, RandomStream::test, 0);
  const Tensor labels({batch}, DType::i32);
  for (std::int64_t n = 0; n < batch; ++n) labels.view().set(static_cast<double>(n * 7919 % classes), n);

  const auto step = [&] {
    backward((*loss)(network->maps(images), network->classifier(), labels).loss);
    optimizer.step();
  };
  step();  // fills the allocator's and the scratch memory's free lists
  const auto allocations = memory_statistics().system_allocations;
  for (auto _ : state) step();
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["system_allocations"] = static_cast<double>(memory_statistics().system_allocations - allocations);
  state.counters["peak_MB"] = static_cast<double>(memory_statistics().peak_in_use) * 1e-6;
}

const bool registered = [] {
  const auto add = [](const std::string& model, const char* name, Kind kind, std::int64_t classes) {
    const std::string line = fmt::format("training_step/{}/{}/classes:{}/batch:128", model, name, classes);
    benchmark::RegisterBenchmark(line.c_str(), [=](benchmark::State& state) { time_step(state, model, kind, classes, 128); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  for (const char* model : {"resnet8", "resnet20", "resnet32", "resnet110"}) add(model, "ce", Kind::cross_entropy, 10);
  add("resnet32", "isda_full", Kind::isda_full, 10);
  for (const auto& [name, kind] : {std::pair{"ce", Kind::cross_entropy}, {"isda_full", Kind::isda_full}, {"isda_diagonal", Kind::isda_diagonal}}) {
    add("resnet32", name, kind, 100);
  }
  return true;
}();

}  // namespace
}  // namespace isda
