// SPDX-License-Identifier: Apache-2.0
#include "models/registry.h"

#include <charconv>
#include <string_view>

#include "core/autograd.h"
#include "kernels/common/nearest.h"
#include "kernels/common/trace.h"
#include "models/densenet.h"
#include "models/imagenet_resnet.h"
#include "models/preact_resnet.h"
#include "models/pyramidnet.h"
#include "models/resnet.h"
#include "models/resnext.h"
#include "models/se_resnet.h"
#include "models/shake_shake.h"
#include "models/wide_resnet.h"

namespace isda {

namespace {

const Family* const kFamilies[] = {
    &kResNet,     &kPreactResNet,        &kSeResNet,       &kWideResNet,      &kSeWideResNet,     &kResNeXt, &kDenseNetBc, &kShakeShake,
    &kPyramidNet, &kShakeDropPyramidNet, &kImageNetResNet, &kImageNetResNeXt, &kImageNetDenseNet,
};

NetworkEntry entry_of(const Family& family, const Numbers& numbers, double paper_parameters = 0, const std::string& paper = "") {
  std::string text = std::to_string(numbers[0]);
  for (std::size_t i = 1; i < numbers.size(); ++i) text += family.separators[i - 1] + std::to_string(numbers[i]);
  text += family.ending;
  return {.name = family.name + text,
          .family = family.name,
          .description = fmt::format("{}-{} for {}x{} images", family.title, text, family.image_extent, family.image_extent),
          .image_extent = family.image_extent,
          .paper_classes = family.classes,
          .paper_parameters = paper_parameters,
          .paper = paper,
          .has_dropout = family.has_dropout,
          .build = family.build(numbers)};
}

// The numbers behind the family's name in `name`; empty where it is not named so.
Numbers numbers_of(const Family& family, std::string_view name) {
  if (!name.starts_with(family.name) || !name.ends_with(family.ending) || name.size() < family.name.size() + family.ending.size()) return {};
  Numbers numbers;
  const char *at = name.data() + family.name.size(), *const end = name.data() + name.size() - family.ending.size();
  for (std::size_t i = 0; i <= family.separators.size(); ++i) {
    if (i > 0 && (at == end || *at++ != family.separators[i - 1])) return {};
    int number = 0;
    const auto [behind, error] = std::from_chars(at, end, number);
    if (error != std::errc() || number < 1) return {};
    numbers.push_back(number);
    at = behind;
  }
  return at == end ? numbers : Numbers();
}

}  // namespace

std::unique_ptr<Network> NetworkEntry::make(const NetworkOptions& options) const {
  require(has_dropout || options.dropout == 0, "[models] {} has no dropout, and {} was asked for: leave --dropout out", name, options.dropout);
  return build(options);
}

const std::vector<NetworkEntry>& networks() {
  static const std::vector<NetworkEntry> list = [] {
    const std::string he = "He et al. 2016, table 6", identity = "He et al. 2016, Identity Mappings", wang = "Wang et al. 2019",
                      zagoruyko = "Zagoruyko, Komodakis 2016", xie = "Xie et al. 2017, table 7", huang = "Huang et al. 2017, table 2",
                      gastaldi = "Gastaldi 2017, table 1", han = "Han et al. 2017, table 4", yamada = "Yamada et al. 2019", torchvision = "torchvision";
    return std::vector<NetworkEntry>{
        entry_of(kResNet, {8}),
        entry_of(kResNet, {14}),
        entry_of(kResNet, {20}, 0.27, he),
        entry_of(kResNet, {32}, 0.46, he),
        entry_of(kResNet, {44}, 0.66, he),
        entry_of(kResNet, {56}, 0.85, he),
        entry_of(kResNet, {110}, 1.7, he),
        entry_of(kResNet, {1202}, 19.4, he),
        entry_of(kPreactResNet, {20}),
        entry_of(kPreactResNet, {56}),
        entry_of(kPreactResNet, {110}, 1.7, identity),
        entry_of(kPreactResNet, {164}, 1.7, identity),
        entry_of(kPreactResNet, {1001}, 10.2, identity + ", without normalisations"),
        entry_of(kSeResNet, {20}),
        entry_of(kSeResNet, {56}),
        entry_of(kSeResNet, {110}, 1.7, wang),
        entry_of(kWideResNet, {16, 8}, 11.0, zagoruyko),
        entry_of(kWideResNet, {28, 10}, 36.5, zagoruyko),
        entry_of(kWideResNet, {40, 4}, 8.9, zagoruyko),
        entry_of(kSeWideResNet, {16, 8}),
        entry_of(kSeWideResNet, {28, 10}),
        entry_of(kResNeXt, {29, 8, 64}, 34.4, xie),
        entry_of(kResNeXt, {29, 16, 64}, 68.1, xie),
        entry_of(kDenseNetBc, {100, 12}, 0.8, huang),
        entry_of(kDenseNetBc, {190, 40}, 25.6, huang),
        entry_of(kDenseNetBc, {250, 24}, 15.3, huang),
        entry_of(kShakeShake, {26, 2, 32}, 2.9, gastaldi),
        entry_of(kShakeShake, {26, 2, 64}, 11.7, gastaldi),
        entry_of(kShakeShake, {26, 2, 96}, 26.2, gastaldi),
        entry_of(kShakeShake, {26, 2, 112}, 36.4, wang + ", with nine shortcuts that nothing uses"),
        entry_of(kPyramidNet, {110, 48}, 1.7, han),
        entry_of(kPyramidNet, {110, 270}, 28.3, han + "; by its equations 28.5 M"),
        entry_of(kPyramidNet, {272, 200}, 26.0, han),
        entry_of(kShakeDropPyramidNet, {110, 270}, 28.3, yamada + "; by its equations 28.5 M"),
        entry_of(kShakeDropPyramidNet, {272, 200}, 26.0, yamada),
        entry_of(kImageNetResNet, {18}, 11.7, torchvision),
        entry_of(kImageNetResNet, {34}, 21.8, torchvision),
        entry_of(kImageNetResNet, {50}, 25.6, torchvision),
        entry_of(kImageNetResNet, {101}, 44.5, torchvision),
        entry_of(kImageNetResNet, {152}, 60.2, torchvision),
        entry_of(kImageNetResNeXt, {50, 32, 4}, 25.0, torchvision),
        entry_of(kImageNetResNeXt, {101, 32, 8}, 88.8, torchvision),
        entry_of(kImageNetDenseNet, {121}, 8.0, torchvision),
        entry_of(kImageNetDenseNet, {161}, 28.7, torchvision),
        entry_of(kImageNetDenseNet, {169}, 14.1, torchvision),
        entry_of(kImageNetDenseNet, {201}, 20.0, torchvision),
        entry_of(kImageNetDenseNet, {265}, 33.3, "Wang et al. 2021"),
    };
  }();
  return list;
}

NetworkEntry find_network(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& entry : networks()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  for (const Family* family : kFamilies) {
    const Numbers numbers = numbers_of(*family, name);
    if (!numbers.empty() && family->is_member(numbers)) return entry_of(*family, numbers);
  }
  const std::string near = nearest(name, names);
  fail("[models] there is no model '{}'{}; `isda models` lists them", name, near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
}

double count_multiply_adds(const NetworkEntry& entry, std::int64_t classes) {
  const NoGradient no_gradient;
  const auto network = entry.make(classes);
  network->evaluate();
  const OperationLog log(/*is_dry=*/true);
  network->logits(Tensor::zeros({1, entry.image_extent, entry.image_extent, 3}));
  double flop = 0;
  for (const auto& [name, cost] : log.entries()) {
    if (std::string_view(name) == "conv2d" || std::string_view(name) == "linear") flop += cost.flop;
  }
  return flop / 2;
}

}  // namespace isda
