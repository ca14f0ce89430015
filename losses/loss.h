// SPDX-License-Identifier: Apache-2.0
// What happens between a network's features and the number that training lowers.
//
// A network is maps(images) -> (N,H,W,A) and a last linear layer over their means; what is done with the two belongs to the loss.
#pragma once
#include <memory>
#include <string>

#include "core/module.h"
#include "layers/linear.h"

namespace isda {

struct LossResult {
  Tensor loss;     // (1), the batch's mean; backward() starts here
  Tensor correct;  // (1) i32, how many of the plain logits were right
};

class Loss {
 public:
  virtual ~Loss() = default;
  // maps (N,H,W,A): the network's last ones; or (N,A): their means, the features. labels (N) i32.
  virtual LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) = 0;
  // How far training is, from 0 (before the first epoch) to 1: a loss that changes with it is told once an epoch.
  virtual void set_progress(double) {}
  // The weight of the loss's augmentation at this progress; 0 for a loss without one.
  virtual double ratio() const { return 0; }
  // What the loss has learned from the data and a resumed run needs.
  virtual std::vector<NamedTensor> state() const { return {}; }
};

}  // namespace isda
