// SPDX-License-Identifier: Apache-2.0
// Networks by name: what --model understands and `isda models` lists.
#pragma once
#include <string>
#include <vector>

#include "models/family.h"

namespace isda {

struct NetworkEntry {
  std::string name;
  std::string family;  // the name without its numbers
  std::string description;
  std::int64_t image_extent;   // the height and width it is made for
  std::int64_t paper_classes;  // the classes its papers tell apart: paper_parameters are those of a network of so many
  double paper_parameters;     // millions, as its paper states; 0 where it gives none
  std::string paper;
  bool has_dropout;
  Build build;

  // Throws Error where dropout is asked of a network that has none.
  std::unique_ptr<Network> make(const NetworkOptions& options) const;
  std::unique_ptr<Network> make(std::int64_t classes) const { return make({.classes = classes}); }
};

const std::vector<NetworkEntry>& networks();

// Families are made by one rule, so any member of them is found: resnet26 and wide_resnet22_4 too. Throws Error for an unknown name, suggesting the
// nearest.
NetworkEntry find_network(const std::string& name);

// Multiply-adds of the convolutions and linear layers for one image, counted by a run in which nothing is computed.
double count_multiply_adds(const NetworkEntry& entry, std::int64_t classes);

}  // namespace isda
