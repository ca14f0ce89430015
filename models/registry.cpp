// SPDX-License-Identifier: Apache-2.0
#include "models/registry.h"

#include <charconv>
#include <string_view>

#include "core/autograd.h"
#include "kernels/common/nearest.h"
#include "kernels/common/trace.h"
#include "models/resnet.h"

namespace isda {

namespace {

constexpr std::string_view kCifarResNet = "resnet";

NetworkEntry cifar_resnet(int depth, double paper_parameters = 0) {
  return {.name = fmt::format("{}{}", kCifarResNet, depth),
          .description = fmt::format("ResNet-{} for 32x32 images", depth),
          .image_extent = 32,
          .paper_parameters = paper_parameters,
          .paper = paper_parameters > 0 ? "He et al. 2016, table 6" : "",
          .make = [depth](std::int64_t classes) { return std::make_unique<CifarResNet>(depth, classes); }};
}

// The number behind `family` in `name`: 26 of resnet26; 0 where it is not a member.
int member_of(std::string_view family, std::string_view name) {
  if (!name.starts_with(family)) return 0;
  int number = 0;
  const auto [end, error] = std::from_chars(name.data() + family.size(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : 0;
}

}  // namespace

const std::vector<NetworkEntry>& networks() {
  static const std::vector<NetworkEntry> list = {
      cifar_resnet(8),        cifar_resnet(14),       cifar_resnet(20, 0.27), cifar_resnet(32, 0.46),
      cifar_resnet(44, 0.66), cifar_resnet(56, 0.85), cifar_resnet(110, 1.7), cifar_resnet(1202, 19.4),
  };
  return list;
}

NetworkEntry find_network(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& entry : networks()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  if (const int depth = member_of(kCifarResNet, name); depth > 0 && is_cifar_resnet_depth(depth)) return cifar_resnet(depth);
  const std::string near = nearest(name, names);
  fail("[models] there is no model '{}'{}; `isda models` lists them", name, near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
}

double count_multiply_adds(const NetworkEntry& entry, std::int64_t classes) {
  const NoGradient no_gradient;
  const auto network = entry.make(classes);
  network->evaluate();
  const OperationLog log;
  network->logits(Tensor::zeros({1, entry.image_extent, entry.image_extent, 3}));
  double flop = 0;
  for (const auto& [name, cost] : log.entries()) {
    if (std::string_view(name) == "conv2d" || std::string_view(name) == "linear") flop += cost.flop;
  }
  return flop / 2;
}

}  // namespace isda
