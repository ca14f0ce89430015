// SPDX-License-Identifier: Apache-2.0
// isda models: the networks, their parameters, multiply-adds and feature widths, next to what their papers state.
#include "apps/command.h"
#include "models/registry.h"

namespace isda {
namespace {

struct Flags {
  std::string name;
  std::int64_t classes = 0;
};

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("NAME", flags.name, "one network, with the shapes of its parameters");
  app.add_option("--classes", flags.classes, "how many classes it tells apart; 0 = 10 for 32x32 images, 1000 for 224x224")->check(CLI::NonNegativeNumber);
  app.footer(
      "Networks that begin with imagenet_ are made for 224x224 images, the others for 32x32; any takes images of another extent. Other members of a family go "
      "by\n"
      "their numbers: resnet26, wide_resnet22_4, imagenet_resnext101_64x4d.");
}

std::int64_t classes_of(const NetworkEntry& entry, const Flags& flags) { return flags.classes > 0 ? flags.classes : entry.paper_classes; }

void print_row(const NetworkEntry& entry, std::int64_t classes) {
  const auto network = entry.make(classes);
  const auto parameters = static_cast<double>(network->parameter_count());
  const std::string stated = entry.paper_parameters > 0 ? fmt::format("{:g} M", entry.paper_parameters) : "-";
  fmt::print("{:<28} {:>12.0f} {:>9} {:>16.0f} {:>8} {:>7}   {}\n", entry.name, parameters, stated, count_multiply_adds(entry, classes),
             network->feature_width(), entry.image_extent, entry.paper);
}

void print_header() {
  fmt::print("{:<28} {:>12} {:>9} {:>16} {:>8} {:>7}   {}\n", "model", "parameters", "paper", "multiply-adds", "features", "images", "stated in");
}

int run_models(const Flags& flags) {
  if (flags.name.empty()) {
    print_header();
    for (const auto& entry : networks()) print_row(entry, classes_of(entry, flags));
    return 0;
  }
  const NetworkEntry entry = find_network(flags.name);
  print_header();
  print_row(entry, classes_of(entry, flags));
  fmt::print("\n");
  for (const auto& [name, tensor] : entry.make(classes_of(entry, flags))->parameters()) fmt::print("{:<48} {}\n", name, tensor.shape());
  return 0;
}

const Subcommand models_command{{.name = "models", .help = "list the networks", .declare = with_flags(add_flags, run_models)}};

}  // namespace
}  // namespace isda
