// SPDX-License-Identifier: Apache-2.0
// What one training step is on the card: the nodes of its graph, by kernel, counted on the emulated card in a replay.
//
//   isda_step_counts [MODEL] [LOSS] [BATCH] [BATCH_DECLARED] [fp32|bf16]      resnet32 isda 2 128 fp32
//
//   nodes      kernels, copies and fills in the recorded graph
//   runs       of each kernel in a replay; read, written, sectors, conflicts, ...: as isda_counts, for BATCH images
//   declared   what the operations' cost() says for BATCH_DECLARED images: every array once; nothing is run
// The number of launches does not depend on the batch; bytes of activations grow with it.
#include <fmt/core.h>

#include <cstdlib>
#include <map>
#include <string>

#include "kernels/common/trace.h"
#include "kernels/emulator/emulator.h"
#include "losses/cross_entropy.h"
#include "losses/isda.h"
#include "models/registry.h"
#include "training/step.h"

namespace isda {
namespace {

// Images of noise: what a step launches does not depend on what they show.
Dataset noise(std::int64_t images) {
  Dataset dataset{.name = "noise", .class_names = std::vector<std::string>(10, "class"), .mean = {128, 128, 128}, .deviation = {64, 64, 64}};
  for (std::int64_t i = 0; i < images * dataset.train.image_bytes(); ++i) dataset.train.pixels.push_back(static_cast<std::uint8_t>(i * 2654435761u >> 13));
  for (std::int64_t i = 0; i < images; ++i) dataset.train.labels.push_back(static_cast<std::int32_t>(i % 10));
  return dataset;
}

struct Training {
  Training(const std::string& model, const std::string& loss_name, std::int64_t batch, const Placement& placement)
      : scope(placement),
        dataset(noise(batch)),
        network(find_network(model).make(10)),
        loss(loss_name == "ce" ? std::unique_ptr<Loss>(std::make_unique<CrossEntropyLoss>())
                               : std::make_unique<IsdaLoss>(10, network->feature_width(), 0.5, Covariance::full)),
        optimizer(*network, {}),
        images(dataset.train, dataset.mean, dataset.deviation, placement.device),
        loader(dataset.train, dataset.mean, dataset.deviation, {.batch_size = batch, .workers = 0, .makes_images = false}),
        step(*network, *loss, optimizer, &images, {.placement = placement}) {
    network->initialise(1);
  }
  void run() {
    for (const Batch& batch : loader.epoch(0)) step.run(batch);
  }

  const PlacementScope scope;
  const Dataset dataset;
  const std::unique_ptr<Network> network;
  const std::unique_ptr<Loss> loss;
  SgdOptimizer optimizer;
  const ResidentImages images;
  Loader loader;
  TrainingStep step;
};

void print_counts(const std::string& model, const std::string& loss, std::int64_t batch, DType type) {
  Training training(model, loss, batch, {Device::cuda, type});
  training.run();
  training.run();  // recorded
  context_of(Device::cuda).synchronise();
  emulator::reset_counters();
  training.run();
  training.step.read_journal();
  std::uint64_t launches = 0, bytes = 0;
  for (const auto& [name, counts] : emulator::counters()) {
    launches += counts.launches;
    bytes += counts.global_read_bytes + counts.global_written_bytes;
  }
  fmt::print("{} with {}: {} nodes, of which {} kernels; {:.1f} MB asked for by threads, {} images in {}\n{}", model, loss, training.step.graph_nodes(batch),
             launches, static_cast<double>(bytes) * 1e-6, batch, name_of(type), emulator::counters_table());
}

void print_declared(const std::string& model, const std::string& loss, std::int64_t batch, DType type) {
  Training training(model, loss, batch, {Device::cpu, type});
  const OperationLog log(/*is_dry=*/true);
  training.run();
  struct Sum {
    int calls = 0;
    double flop = 0, bytes = 0;
  };
  std::map<std::string, Sum> by_name;
  for (const auto& [name, cost] : log.entries()) {
    for (Sum* sum : {&by_name[name], &by_name["in all"]}) {
      sum->calls += 1;
      sum->flop += cost.flop;
      sum->bytes += cost.bytes;
    }
  }
  fmt::print("declared, {} images in {}\n  {:<28} {:>5} {:>9} {:>9}\n", batch, name_of(type), "operation", "calls", "GFLOP", "MB");
  for (const auto& [name, sum] : by_name) fmt::print("  {:<28} {:>5} {:>9.2f} {:>9.1f}\n", name, sum.calls, sum.flop * 1e-9, sum.bytes * 1e-6);
}

}  // namespace
}  // namespace isda

int main(int argc, char** argv) {
  const auto argument = [&](int i, const char* otherwise) { return std::string(argc > i ? argv[i] : otherwise); };
  const std::string model = argument(1, "resnet32"), loss = argument(2, "isda");
  const isda::DType type = argument(5, "fp32") == "bf16" ? isda::DType::bf16 : isda::DType::f32;
  try {
    isda::print_counts(model, loss, std::atoll(argument(3, "2").c_str()), type);
    isda::print_declared(model, loss, std::atoll(argument(4, "128").c_str()), type);
  } catch (const isda::Error& error) {
    fmt::print(stderr, "isda_step_counts: {}\n", error.what());
    return 1;
  }
}
