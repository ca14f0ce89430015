// SPDX-License-Identifier: Apache-2.0
// The halves of IsdaUpdate on the card, for those that do something between them or instead of the second.
#pragma once
#include "kernels/isda/membership.cuh"

namespace isda::kernels {

// What a batch adds to the covariance of a class with m samples: z_0 ... z_m (members.h).
struct BatchTerms {
  float* rows = nullptr;  // (N+most,A) those of slot 0, of slot 1, ...
  float* keep = nullptr;  // (most)

  __device__ std::int64_t first_row(const Membership& members, int slot) const { return members.begin[slot] + slot; }
};

// Folds the batch into the means, and returns the terms that the covariances are yet to receive. The counts stay as they are: who adds the terms adds to
// them, too. One launch.
BatchTerms fold_on_card(const Context& context, Scratch& scratch, const char* operation, const Membership& members, const ConstView& features,
                        const View& count, const View& mean);

// Adds the terms to covariances of every kind, and the samples to the counts. One launch.
void add_terms_on_card(const Context& context, const Membership& members, const BatchTerms& terms, const View& covariance, const View& count);

}  // namespace isda::kernels
