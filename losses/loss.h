// SPDX-License-Identifier: Apache-2.0
// What happens between a network's features and the number that training lowers.
//
// A network is maps(images) -> (N,H,W,A) and a last linear layer over their means; what is done with the two belongs to the loss.
#pragma once
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "core/module.h"
#include "layers/linear.h"

namespace isda {

struct LossResult {
  Tensor loss;     // (1), the batch's mean; backward() starts here
  Tensor correct;  // (1) i32, how many of the plain logits were right
};

// The second labels of images that were mixed (datasets/mixing.h), and how much each kind counts.
struct SecondLabels {
  Tensor labels;           // (N) i32
  Tensor weight_of_first;  // (1), parameter type
  Tensor weight_of_second;
};

class Loss {
 public:
  virtual ~Loss() = default;
  // What the loss can do of a step before the network has seen the images, with the labels and the classifier as they will be then. To call it or not changes
  // no result beyond rounding; on the card what it enqueues runs beside the network. Labels and weight stay as they are until the loss was asked.
  virtual void prepare(const Linear&, const Tensor&) {}
  // maps (N,H,W,A): the network's last ones; or (N,A): their means, the features. labels (N) i32.
  virtual LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) = 0;
  // The same of images of two labels: w L(labels) + (1-w) L(second labels); `correct` is of the first. Throws Error for a loss that wants one label an image.
  virtual LossResult mixed(const Tensor&, const Linear&, const Tensor&, const SecondLabels&) {
    fail("[loss] mixup and CutMix give an image two labels, and this loss takes one; train with --loss ce");
  }
  // How far training is, from 0 (before the first epoch) to 1: a loss that changes with it is told once an epoch.
  virtual void set_progress(double) {}
  // The weight of the loss's augmentation at this progress; 0 for a loss without one.
  virtual double ratio() const { return 0; }
  // How far the loss moves the logits of these samples, features (N,A): the mean correction of the logits of other classes, as a share of the mean magnitude
  // of the plain logits. 0 for a loss that corrects none.
  virtual double correction(const Tensor&, const Linear&, const Tensor&) const { return 0; }
  // What the loss has learned from the data and a resumed run needs.
  virtual std::vector<NamedTensor> state() const { return {}; }
};

// What losses are written with.

// The features (N,A): the means over the pixels of maps (N,H,W,A), or what is given where it has no pixels.
Tensor features_of(const Tensor& maps);
// factor x; factor (1). Not recorded.
Tensor scaled(const Tensor& x, const Tensor& factor);
// The loss (1) as a function of the inputs, where its gradients by them were computed with it.
Tensor with_gradients(const Tensor& loss, std::initializer_list<Tensor> inputs, const std::vector<Tensor>& gradients);

}  // namespace isda
