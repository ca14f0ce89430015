// SPDX-License-Identifier: Apache-2.0
// Covariances of low rank (low_rank.h) on the card, where they differ from others: their update, and their share of dW. Q and P are made in correction.cu.
#pragma once
#include "kernels/isda/covariance_kind.h"
#include "kernels/isda/statistics.cuh"
#include "kernels/isda/weight_correction.cuh"

namespace isda::kernels {

// The most directions that the kernel of the update has shared memory for.
inline constexpr std::int64_t kMostDirectionsOnCard = 512;

// Adds the terms to the covariances (C,1+R,A), and the samples to the counts. One launch.
void update_low_rank_on_card(const Context& context, const Membership& members, const CovarianceTerms& terms, const View& covariance, const View& count);

// correct_weight_gradient for low rank; op.u is P (most,C,R), op.variance is found here. Six launches.
void correct_weight_gradient_low_rank(const Context& context, Scratch& scratch, WeightCorrection op, const ConstView& covariance);

}  // namespace isda::kernels
