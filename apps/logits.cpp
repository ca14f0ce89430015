// SPDX-License-Identifier: Apache-2.0
// isda logits: a network on images from a file, for people with numpy.
//
//   in    images (N,3,H,W) f32|f64, normalised, as PyTorch has them
//   out   logits (N,C)   features (N,A), the means of the last maps; f32
#include "apps/command.h"
#include "core/autograd.h"
#include "training/device_choice.h"
#include "training/exchange.h"

namespace isda {
namespace {

struct Flags {
  std::string input, output, weights, model, device = "auto";
  std::int64_t batch_size = 32;
  int threads = 0;
};

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("IN", flags.input, "safetensors file with images (N,3,H,W), f32 or f64, normalised as the network was trained")->required();
  app.add_option("OUT", flags.output, "safetensors file to write: logits (N,C) and features (N,A)")->required();
  app.add_option("--weights", flags.weights, "weights: of a run, or of PyTorch, torchvision or timm; also --checkpoint")->required();
  app.add_option("--model", flags.model, "network; empty = the one the weights name");
  app.add_option("--device", flags.device, "auto, cpu, cuda or reference")->check(one_of({"auto", "cpu", "cuda", "reference"}));
  app.add_option("--batch-size", flags.batch_size, "images at a time")->check(CLI::PositiveNumber);
  app.add_option("--threads", flags.threads, "threads on the cpu; 0 = all cores")->check(CLI::NonNegativeNumber);
}

ConstView images_in(const Safetensors& file) {
  const ConstView images = file.view("images");
  require(images.shape().rank() == 4 && images.extent(1) == 3 && images.size() > 0, "[{}] images is {}, expected (N,3,H,W), none of them 0",
          file.path().string(), images.shape());
  require(images.type() == DType::f32 || images.type() == DType::f64, "[{}] images is {}, expected f32 or f64", file.path().string(), name_of(images.type()));
  return images;
}

// `count` images from `first` on as (N,H,W,3).
Tensor batch_of(const ConstView& images, std::int64_t first, std::int64_t count, Device device) {
  const std::int64_t H = images.extent(2), W = images.extent(3);
  const Tensor batch({count, H, W, 3});
  for (std::int64_t n = 0; n < count; ++n)
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t h = 0; h < H; ++h)
        for (std::int64_t w = 0; w < W; ++w) batch.view().set(images.at(first + n, c, h, w), n, h, w, c);
  return batch.to(DType::f32, device);
}

// Writes `part` behind the rows that are there.
void append(const Tensor& part, const Tensor& whole, std::int64_t row) {
  const Tensor on_host = part.on_host();
  for (std::int64_t i = 0; i < on_host.size(); ++i) whole.view().set_offset(on_host.view().at_offset(i), row * whole.extent(1) + i);
}

int run_logits(const Flags& flags) {
  const DeviceChoice device = choose_device(flags.device);
  set_threads(flags.threads);
  const PlacementScope scope({device.device, DType::f32});
  const Safetensors weights = Safetensors::open(flags.weights), input = Safetensors::open(flags.input);
  const ConstView images = images_in(input);
  const auto network = network_of(weights, flags.model);
  network->evaluate();

  const NoGradient no_gradient;
  const std::int64_t N = images.extent(0);
  const Tensor logits({N, network->classes()}), features({N, network->feature_width()});
  for (std::int64_t first = 0; first < N; first += flags.batch_size) {
    const Tensor of_batch = network->features(batch_of(images, first, std::min(flags.batch_size, N - first), device.device));
    append(of_batch, features, first);
    append(network->classifier()(of_batch), logits, first);
  }
  write_safetensors(flags.output, std::vector<NamedView>{{"logits", logits}, {"features", features}});
  fmt::print("{} images, {} classes, {} features on {} ({})\n", N, network->classes(), network->feature_width(), name_of(device.device), device.reason);
  return 0;
}

const Subcommand logits_command{{.name = "logits",
                                 .help = "a network's logits and features of images in a file",
                                 .declare = with_flags(add_flags, run_logits),
                                 .aliases = {{"--checkpoint", {"--weights"}}}}};

}  // namespace
}  // namespace isda
