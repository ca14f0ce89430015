// SPDX-License-Identifier: Apache-2.0
// Center loss: cross-entropy + lambda/2 mean |x - c_y|^2, with a center c for each class that follows its features.
// Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016.   kernels/center_loss
#pragma once
#include "losses/loss.h"

namespace isda {

class CenterLoss : public Loss {
 public:
  // weight: lambda; rate: alpha, how far a center follows. Centers begin at 0.
  CenterLoss(std::int64_t classes, std::int64_t width, double weight, double rate = 0.5);

  // With the centers as they are; then they follow the batch. They carry no gradient.
  LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) override;
  std::vector<NamedTensor> state() const override { return {{"centers", centers_}}; }
  const Tensor& centers() const { return centers_; }

 private:
  double weight_, rate_;
  Tensor centers_;  // (C,A)
};

}  // namespace isda
