// SPDX-License-Identifier: Apache-2.0
// The augmentation that ISDA stands for, made by draws: the mean cross-entropy of M draws from Normal(a_i, ratio S_{y_i}) for each sample.
//
// For teaching and for checking. As M grows this loss approaches its expectation, of which IsdaLoss (losses/isda.h) is an upper bound in closed form, for the
// cost of no draw at all. Gradients go to the features, with which the draws move, to weight and bias; none to the statistics.
// Wang et al., NeurIPS 2019, equation 2.   kernels/isda_draw
#pragma once
#include "losses/isda.h"

namespace isda {

class IsdaSampledLoss : public Loss {
 public:
  // draws: M. What is drawn is a function of the seed and of how many batches came before.
  IsdaSampledLoss(std::int64_t classes, std::int64_t width, double lambda_0, std::int64_t draws, const Covariance& kind = Covariance::full,
                  std::uint64_t seed = 0);

  // The statistics are updated from the batch first, as in IsdaLoss. correct: hits of the plain logits, without draws.
  LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) override;
  void set_progress(double progress) override { set_ratio(lambda_0_ * progress); }
  void set_ratio(double ratio);
  double ratio() const override { return ratio_.item(); }
  // Also "step": how many batches were drawn around.
  std::vector<NamedTensor> state() const override;

  const ClassStatistics& statistics() const { return statistics_; }

 private:
  const double lambda_0_;
  const std::int64_t draws_;
  const std::uint64_t seed_;
  ClassStatistics statistics_;
  Tensor ratio_;  // (1), on the device
  Tensor step_;   // (1) i32, likewise
};

}  // namespace isda
