// SPDX-License-Identifier: Apache-2.0
// Networks by name: what --model understands and `isda models` lists.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/network.h"

namespace isda {

struct NetworkEntry {
  std::string name;
  std::string description;
  std::int64_t image_extent;  // the height and width it is made for
  double paper_parameters;    // millions, as its paper states; 0 where it gives none
  std::string paper;
  std::function<std::unique_ptr<Network>(std::int64_t classes)> make;
};

const std::vector<NetworkEntry>& networks();

// Families are made by one rule, so any member of them is found: resnet26 too. Throws Error for an unknown name, suggesting the nearest.
NetworkEntry find_network(const std::string& name);

// Multiply-adds of the convolutions and linear layers for one image, counted by running it.
double count_multiply_adds(const NetworkEntry& entry, std::int64_t classes);

}  // namespace isda
