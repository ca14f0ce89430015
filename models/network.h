// SPDX-License-Identifier: Apache-2.0
// What every network is: maps(images) -> (N,H,W,A), and a last linear layer over the means of the maps, the classifier.
// No network knows which loss it is trained with: the loss is given the two.
#pragma once
#include "core/module.h"
#include "layers/global_average.h"
#include "layers/linear.h"

namespace isda {

class Network : public Module {
 public:
  // The last feature maps (N,H,W,A) of images (N,H,W,3), which are normalised.
  virtual Tensor maps(const Tensor& images) const = 0;
  virtual const Linear& classifier() const = 0;
  // (1) i32 on the device, the number of the training step: written before each step by whoever trains. Undefined where nothing depends on it; what
  // dropout drops does (layers/dropout.h).
  virtual Tensor step() const { return {}; }

  // The mean of each map (N,A), which the classifier sees.
  Tensor features(const Tensor& images) const { return global_average(maps(images)); }

  std::int64_t feature_width() const { return classifier().weight.extent(1); }
  std::int64_t classes() const { return classifier().weight.extent(0); }
  // The plain logits (N,C), as used in evaluation.
  Tensor logits(const Tensor& images) const { return classifier()(features(images)); }
};

}  // namespace isda
