// SPDX-License-Identifier: Apache-2.0
// Implicit semantic data augmentation: where the augmentation happens.
//
// For every class the running mean and covariance of its features are kept (ClassStatistics). The loss is an upper bound of the expected
// cross-entropy over a ~ Normal(a_i, ratio S_{y_i}): logit j of sample i is raised by (ratio/2) (w_j - w_{y_i})^T S_{y_i} (w_j - w_{y_i}),
// and ordinary cross-entropy is taken of that. No sample is drawn. ratio = lambda_0 * progress grows from 0.
// Wang et al., NeurIPS 2019 (arXiv 1909.12220).   kernels/isda/isda.h holds the mathematics.
#pragma once
#include <optional>

#include "losses/covariance.h"
#include "losses/loss.h"

namespace isda {

namespace kernels {
struct PendingTerms;
struct Prepared;
}  // namespace kernels

// Count, mean and covariance of the features of each class, as seen so far.
class ClassStatistics {
 public:
  // most_samples > 0, full covariances only: the pass over them may be made ahead (IsdaLoss::prepare), for batches of up to so many samples.
  ClassStatistics(std::int64_t classes, std::int64_t width, const Covariance& kind, std::int64_t most_samples = 0);

  const Covariance& kind() const { return kind_; }
  void update(const Tensor& features, const Tensor& labels);
  // Adds what another instance has seen, exactly as if this one had seen it too (Chan et al. 1983). With a covariance of low rank count, mean and the
  // diagonal are exact; of the rest the directions of both, and the way between the means, are candidates for what is kept (kernels/isda/low_rank.h).
  void merge(const ClassStatistics& other);
  // "count", "mean", "covariance", settled.
  std::vector<NamedTensor> state() const;

  // What was seen of a class last reaches its covariance when it is seen again, or here: before anybody reads the covariance.
  void settle() const;
  bool is_prepared_ahead() const { return pending_.has_value(); }

  const Tensor count;       // (C)
  const Tensor mean;        // (C,A)
  const Tensor covariance;  // (C,A,A), (C,A) or (C,1+R,A)

 private:
  friend class IsdaLoss;
  // kernels/isda/prepared_head.h
  struct Pending {
    Tensor count, first, keep, rows;
    std::int64_t of_class;
    kernels::PendingTerms view() const;
  };

  Covariance kind_;
  std::optional<Pending> pending_;
};

class IsdaLoss : public Loss {
 public:
  // most_samples > 0, full covariances only: the pass over the covariances is made by prepare(), for batches of up to so many samples.
  IsdaLoss(std::int64_t classes, std::int64_t width, double lambda_0, const Covariance& kind = Covariance::full, std::int64_t most_samples = 0);

  // Where the pass is made ahead: on the card beside whatever is enqueued until the loss is asked for.
  void prepare(const Linear& classifier, const Tensor& labels) override;
  // The statistics are updated from the batch first (they carry no gradient), then the loss is computed with them.
  LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) override;
  void set_progress(double progress) override;
  void set_ratio(double ratio);
  double ratio() const override { return ratio_.item(); }
  double correction(const Tensor& features, const Linear& classifier, const Tensor& labels) const override;
  std::vector<NamedTensor> state() const override { return statistics().state(); }

  // Settled.
  const ClassStatistics& statistics() const;

 private:
  // What is prepared for a batch; on the card it is there when the branch is joined.
  struct Prepared {
    Tensor slots, members, u, q;
    kernels::Prepared view() const;
  };
  struct Arrays;  // what every form of the head has
  void run_whole(const Arrays& arrays) const;
  void run_prepared(const Arrays& arrays);

  double lambda_0_;
  ClassStatistics statistics_;
  Tensor ratio_;  // (1), on the device
  std::optional<Prepared> prepared_;
};

}  // namespace isda
