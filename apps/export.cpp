// SPDX-License-Identifier: Apache-2.0
// isda export: the weights of a run for PyTorch, torchvision or timm.
#include "apps/command.h"
#include "training/exchange.h"

namespace isda {
namespace {

struct Flags {
  std::string checkpoint, output, model, scheme = "torchvision";
};

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("CHECKPOINT", flags.checkpoint, "weights: the last.safetensors or best.safetensors of a run, or any that isda eval takes")->required();
  app.add_option("OUT", flags.output, "safetensors file to write: f32, convolutions as (out, in, rows, columns)")->required();
  app.add_option("--model", flags.model, "network; empty = the one the checkpoint names");
  app.add_option("--scheme", flags.scheme, "the names of the tensors; timm's are torchvision's for these networks")
      ->check(one_of(naming_schemes()))
      ->capture_default_str();
}

int run_export(const Flags& flags) {
  const Safetensors file = Safetensors::open(flags.checkpoint);
  const auto network = network_of(file, flags.model);
  SafetensorsMetadata metadata = file.metadata();
  metadata.erase("progress");  // of training, which ends here
  metadata["format"] = "pt";
  metadata["model"] = given_or_named(flags.model, file, "model");
  metadata["classes"] = std::to_string(network->classes());
  export_weights(flags.output, *network, flags.scheme, metadata);
  fmt::print("{}: {} for {} classes, {} parameters, {} names\n", flags.output, metadata["model"], network->classes(), network->parameter_count(), flags.scheme);
  return 0;
}

const Subcommand export_command{{.name = "export", .help = "write a checkpoint's weights for PyTorch and timm", .declare = with_flags(add_flags, run_export)}};

}  // namespace
}  // namespace isda
