// SPDX-License-Identifier: Apache-2.0
// isda eval: a checkpoint on the test images of a data set, or on those that its run held out.
#include <charconv>

#include "apps/command.h"
#include "datasets/validation.h"
#include "models/registry.h"
#include "training/device_choice.h"
#include "training/evaluate.h"
#include "training/exchange.h"

namespace isda {
namespace {

struct Flags {
  std::string checkpoint, dataset, data_dir, model, split = "test", device = "auto";
  std::int64_t batch_size = 128;
  std::int64_t image_size = 0, resize = 0;
  int workers = 1, threads = 0;
};

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("--checkpoint", flags.checkpoint,
                 "weights: the last.safetensors or best.safetensors of a run, or those of PyTorch, torchvision or timm; also --weights")
      ->required();
  app.add_option("--data-dir", flags.data_dir, "directory with the data set's files")->required();
  app.add_option("--dataset", flags.dataset, "data set; empty = the one the checkpoint names");
  app.add_option("--model", flags.model, "network; empty = the one the checkpoint names");
  app.add_option("--split", flags.split, "test, or validation: the training images that the run held out")->check(one_of({"test", "validation"}));
  app.add_option("--image-size", flags.image_size, "image folders: as in isda train; 0 = as the run had it")->check(CLI::NonNegativeNumber);
  app.add_option("--resize", flags.resize, "image folders: likewise")->check(CLI::NonNegativeNumber);
  app.add_option("--device", flags.device, "auto, cpu, cuda or reference")->check(one_of({"auto", "cpu", "cuda", "reference"}));
  app.add_option("--batch-size", flags.batch_size, "images at a time")->check(CLI::PositiveNumber);
  app.add_option("--workers", flags.workers, "threads that load images ahead")->check(CLI::NonNegativeNumber);
  app.add_option("--threads", flags.threads, "threads of a step on the cpu; 0 = all cores")->check(CLI::NonNegativeNumber);
}

// A number that the run wrote into its checkpoint; `otherwise` where it did not.
std::int64_t number_named(const Safetensors& file, const char* key, std::int64_t otherwise) {
  const auto found = file.metadata().find(key);
  std::int64_t number = otherwise;
  if (found != file.metadata().end()) std::from_chars(found->second.data(), found->second.data() + found->second.size(), number);
  return number;
}

// How many training images the run that wrote the checkpoint held out.
std::int64_t held_out_by_run(const Safetensors& file) {
  const std::int64_t count = number_named(file, "validation", 0);
  require(count > 0, "[{}] is of a run that held out no training images (isda train --validation): evaluate it with --split test", file.path().string());
  return count;
}

int run_eval(const Flags& flags) {
  const Safetensors file = Safetensors::open(flags.checkpoint);
  const std::string model = given_or_named(flags.model, file, "model"), name = given_or_named(flags.dataset, file, "dataset");
  const DeviceChoice device = choose_device(flags.device);
  set_threads(flags.threads);
  const Placement placement{device.device, DType::f32};
  const PlacementScope scope(placement);
  const ImageOptions images{.size = flags.image_size > 0 ? flags.image_size : number_named(file, "image_size", ImageOptions().size),
                            .resize_side = flags.resize > 0 ? flags.resize : number_named(file, "resize", ImageOptions().resize_side)};
  Dataset dataset = load_dataset(name, flags.data_dir, images);
  if (flags.split == "validation") hold_out(dataset, held_out_by_run(file));
  const Split& split = flags.split == "validation" ? dataset.validation : dataset.test;
  const auto network = find_network(model).make(dataset.classes());
  import_weights(file, *network);
  const Tally tally = evaluate(*network, dataset, split, {.batch_size = flags.batch_size, .workers = flags.workers, .placement = placement});
  fmt::print("device {} ({})\n", name_of(device.device), device.reason);
  fmt::print("{} on {}: {} {}images, loss {:.6f}, top1 {:.2f} %, error {:.2f} %\n", model, dataset.name, tally.images,
             flags.split == "validation" ? "held-out " : "", tally.mean_loss(), tally.top1(), 100 - tally.top1());
  return 0;
}

const Subcommand eval_command{
    {.name = "eval", .help = "evaluate a checkpoint on test images", .declare = with_flags(add_flags, run_eval), .aliases = {{"--weights", {"--checkpoint"}}}}};

}  // namespace
}  // namespace isda
