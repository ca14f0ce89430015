// SPDX-License-Identifier: Apache-2.0
#include "models/registry.h"

#include <charconv>
#include <string_view>

#include "core/autograd.h"
#include "kernels/common/nearest.h"
#include "kernels/common/trace.h"
#include "models/preact_resnet.h"
#include "models/resnet.h"
#include "models/resnext.h"
#include "models/se_resnet.h"
#include "models/wide_resnet.h"

namespace isda {

namespace {

// The numbers in a name: 28 and 10 of wide_resnet28_10.
using Numbers = std::vector<int>;
using Build = std::function<std::unique_ptr<Network>(const NetworkOptions&)>;

// Networks of one rule, named by their numbers.
struct Family {
  std::string name, title;  // in front of the numbers, and as one writes it
  std::string separators;   // between the numbers: "_x" of resnext29_8x64
  bool (*is_member)(const Numbers&);
  Build (*build)(const Numbers&);
  bool has_dropout = false;
};

// NOTE: as in the paper, where 110 are basic blocks, 164 and 1001 bottlenecks.
bool are_bottlenecks(int depth) { return depth >= 164; }

Build build_wide(const Numbers& numbers, std::int64_t reduction) {
  return [=](const NetworkOptions& options) {
    return std::make_unique<WideResNet>(WideResNetOptions{
        .depth = numbers[0], .width = numbers[1], .classes = options.classes, .reduction = reduction, .dropout = options.dropout, .seed = options.seed});
  };
}

bool is_wide(const Numbers& numbers) { return is_wide_resnet_depth(numbers[0]); }

const Family kResNet{
    .name = "resnet",
    .title = "ResNet",
    .separators = "",
    .is_member = [](const Numbers& numbers) { return is_cifar_resnet_depth(numbers[0]); },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) { return std::make_unique<CifarResNet>(numbers[0], options.classes); };
    },
};

const Family kPreactResNet{
    .name = "preact_resnet",
    .title = "Pre-activation ResNet",
    .separators = "",
    .is_member = [](const Numbers& numbers) { return is_preact_resnet_depth(numbers[0], are_bottlenecks(numbers[0])); },
    .build = [](const Numbers& numbers) -> Build {
      return [depth = numbers[0]](const NetworkOptions& options) {
        return std::make_unique<PreactResNet>(PreactResNetOptions{.depth = depth, .is_bottleneck = are_bottlenecks(depth), .classes = options.classes});
      };
    },
};

const Family kSeResNet{
    .name = "se_resnet",
    .title = "SE-ResNet",
    .separators = "",
    .is_member = [](const Numbers& numbers) { return is_cifar_resnet_depth(numbers[0]); },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) { return std::make_unique<SeResNet>(SeResNetOptions{.depth = numbers[0], .classes = options.classes}); };
    },
};

const Family kWideResNet{
    .name = "wide_resnet",
    .title = "Wide-ResNet",
    .separators = "_",
    .is_member = is_wide,
    .build = [](const Numbers& numbers) { return build_wide(numbers, 0); },
    .has_dropout = true,
};

const Family kSeWideResNet{
    .name = "se_wide_resnet",
    .title = "SE-Wide-ResNet",
    .separators = "_",
    .is_member = is_wide,
    .build = [](const Numbers& numbers) { return build_wide(numbers, 16); },
    .has_dropout = true,
};

const Family kResNeXt{
    .name = "resnext",
    .title = "ResNeXt",
    .separators = "_x",
    .is_member = [](const Numbers& numbers) { return is_resnext_depth(numbers[0]); },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) {
        return std::make_unique<ResNeXt>(ResNeXtOptions{.depth = numbers[0], .cardinality = numbers[1], .width = numbers[2], .classes = options.classes});
      };
    },
};

const Family* const kFamilies[] = {&kResNet, &kPreactResNet, &kSeResNet, &kWideResNet, &kSeWideResNet, &kResNeXt};

NetworkEntry entry_of(const Family& family, const Numbers& numbers, double paper_parameters = 0, const std::string& paper = "") {
  std::string text = std::to_string(numbers[0]);
  for (std::size_t i = 1; i < numbers.size(); ++i) text += family.separators[i - 1] + std::to_string(numbers[i]);
  return {.name = family.name + text,
          .family = family.name,
          .description = fmt::format("{}-{} for 32x32 images", family.title, text),
          .image_extent = 32,
          .paper_parameters = paper_parameters,
          .paper = paper,
          .has_dropout = family.has_dropout,
          .build = family.build(numbers)};
}

// The numbers behind the family's name in `name`; empty where it is not named so.
Numbers numbers_of(const Family& family, std::string_view name) {
  if (!name.starts_with(family.name)) return {};
  Numbers numbers;
  const char *at = name.data() + family.name.size(), *const end = name.data() + name.size();
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
                      zagoruyko = "Zagoruyko, Komodakis 2016", xie = "Xie et al. 2017, table 7";
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
        entry_of(kPreactResNet, {1001}, 10.2, identity),
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
