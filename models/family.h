// SPDX-License-Identifier: Apache-2.0
// What a file of networks says of them, so that any of them goes by a name: wide_resnet28_10 is the family "wide_resnet" with the numbers 28 and 10.
//
//   const Family kResNeXt{
//       .name = "resnext", .title = "ResNeXt", .separators = "_x",
//       .is_member = [](const Numbers& numbers) { return is_resnext_depth(numbers[0]); },
//       .build = [](const Numbers& numbers) -> Build { return [=](const NetworkOptions& options) { return std::make_unique<ResNeXt>(...); }; },
//   };
//
// models/registry.cpp lists the families, and those of their networks that papers name.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/network.h"

namespace isda {

struct NetworkOptions {
  std::int64_t classes = 10;
  double dropout = 0;      // probability of dropping, in networks that have dropout
  std::uint64_t seed = 0;  // of what is dropped
};

// The numbers in a name, 1 or more each.
using Numbers = std::vector<int>;
using Build = std::function<std::unique_ptr<Network>(const NetworkOptions&)>;

struct Family {
  std::string name, title;                       // in front of the numbers, and as one writes it
  std::string separators;                        // between the numbers: "_x" of resnext29_8x64
  std::string ending = "";                       // behind them: "d" of imagenet_resnext50_32x4d
  std::int64_t image_extent = 32, classes = 10;  // what the networks are made for
  bool (*is_member)(const Numbers&);
  Build (*build)(const Numbers&);
  bool has_dropout = false;
};

}  // namespace isda
