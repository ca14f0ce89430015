// SPDX-License-Identifier: Apache-2.0
// `isda data`: what a data set holds, and the one that is made here.
#include "apps/command.h"
#include "datasets/dataset.h"
#include "datasets/shapes.h"

namespace isda {
namespace {

struct InfoFlags {
  std::string dataset;
  std::string data_dir = "data";
  std::int64_t limit = 2000;
  ImageOptions images;
};

void add_info_flags(CLI::App& app, InfoFlags& flags) {
  app.add_option("--dataset", flags.dataset, "the data set's name")->required()->check(one_of(dataset_names()));
  app.add_option("--data-dir", flags.data_dir, "folder with its files")->capture_default_str();
  app.add_option("--limit", flags.limit, "image folders: measure on N training images, evenly spaced; 0 = all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--image-size", flags.images.size, "image folders: as in isda train")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--resize", flags.images.resize_side, "image folders: likewise")->check(CLI::PositiveNumber)->capture_default_str();
}

int run_info(const InfoFlags& flags) {
  const Dataset dataset = load_dataset(flags.dataset, flags.data_dir, flags.images);
  fmt::print("{}", summary(dataset, flags.limit > 0 ? flags.limit : dataset.train.size()));
  return 0;
}

struct ShapesFlags {
  std::string output;
  ShapesOptions options;
};

void add_shapes_flags(CLI::App& app, ShapesFlags& flags) {
  constexpr std::int64_t kMost = 1'000'000'000;
  app.add_option("--output", flags.output, "folder to write to; made when it is not there")->required();
  app.add_option("--train", flags.options.train, "training images")->check(CLI::Range(std::int64_t{1}, kMost))->capture_default_str();
  app.add_option("--test", flags.options.test, "test images")->check(CLI::Range(std::int64_t{1}, kMost))->capture_default_str();
  app.add_option("--seed", flags.options.seed, "the same seed gives the same bytes")->capture_default_str();
}

int run_shapes(const ShapesFlags& flags) {
  ShapesOptions options = flags.options;
  options.directory = flags.output;
  make_shapes(Context(Device::cpu), options);
  fmt::print("{} training and {} test images of seed {} are in {}\n", options.train, options.test, options.seed, flags.output);
  return 0;
}

const Subcommand group{{.name = "data", .help = "data sets: download one, look at one, make one"}};
const Subcommand info{{.name = "data info", .help = "images per class, sizes, mean and deviation", .declare = with_flags(add_info_flags, run_info)}};
const Subcommand make{{.name = "data make-shapes",
                       .help = "make `shapes`: ten classes of 32x32 images, in the CIFAR-10 binary format",
                       .declare = with_flags(add_shapes_flags, run_shapes)}};

}  // namespace
}  // namespace isda
