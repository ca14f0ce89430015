// SPDX-License-Identifier: Apache-2.0
// Implicit semantic data augmentation: where the augmentation happens.
//
// For every class the running mean and covariance of its features are kept (ClassStatistics). The loss is an upper bound of the expected
// cross-entropy over a ~ Normal(a_i, ratio S_{y_i}): logit j of sample i is raised by (ratio/2) (w_j - w_{y_i})^T S_{y_i} (w_j - w_{y_i}),
// and ordinary cross-entropy is taken of that. No sample is drawn. ratio = lambda_0 * progress grows from 0.
// Wang et al., NeurIPS 2019 (arXiv 1909.12220).   kernels/isda/isda.h holds the mathematics.
#pragma once
#include "losses/covariance.h"
#include "losses/loss.h"

namespace isda {

// Count, mean and covariance of the features of each class, as seen so far.
class ClassStatistics {
 public:
  ClassStatistics(std::int64_t classes, std::int64_t width, const Covariance& kind);

  const Covariance& kind() const { return kind_; }
  void update(const Tensor& features, const Tensor& labels);
  // Adds what another instance has seen, exactly as if this one had seen it too (Chan et al. 1983). With a covariance of low rank count, mean and the
  // diagonal are exact; of the rest the directions of both, and the way between the means, are candidates for what is kept (kernels/isda/low_rank.h).
  void merge(const ClassStatistics& other);
  // "count", "mean", "covariance".
  std::vector<NamedTensor> state() const;

  const Tensor count;       // (C)
  const Tensor mean;        // (C,A)
  const Tensor covariance;  // (C,A,A), (C,A) or (C,1+R,A)

 private:
  Covariance kind_;
};

class IsdaLoss : public Loss {
 public:
  IsdaLoss(std::int64_t classes, std::int64_t width, double lambda_0, const Covariance& kind = Covariance::full);

  // The statistics are updated from the batch first (they carry no gradient), then the loss is computed with them.
  LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) override;
  void set_progress(double progress) override;
  void set_ratio(double ratio);
  double ratio() const override { return ratio_.item(); }
  std::vector<NamedTensor> state() const override { return statistics_.state(); }

  const ClassStatistics& statistics() const { return statistics_; }

 private:
  double lambda_0_;
  ClassStatistics statistics_;
  Tensor ratio_;  // (1), on the device
};

}  // namespace isda
