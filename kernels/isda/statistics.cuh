// SPDX-License-Identifier: Apache-2.0
// The halves of IsdaUpdate on the card, for those that do something between them or instead of the second.
#pragma once
#include "kernels/isda/membership.cuh"

namespace isda::kernels {

// What is added to the covariance of a class: z_0 ... z_m (members.h) of a batch with m samples of it, or what is pending (prepared_head.h).
struct CovarianceTerms {
  float* rows = nullptr;          // (N+most,A) those of slot 0, of slot 1, ...
  float* keep = nullptr;          // (most)
  std::int32_t* first = nullptr;  // pending ones: (C), where a class's rows begin; keep is by class, too
  std::int32_t* count = nullptr;  // and how many there are
  int of_class = 0;               // and of how many it has the room to itself

  __device__ static std::int64_t row_of_slot(const Membership& members, int slot) { return members.begin[slot] + slot; }
  __device__ std::int64_t first_row(const Membership& members, int slot) const { return first ? first[members.classes[slot]] : row_of_slot(members, slot); }
  __device__ int rank(const Membership& members, int slot) const { return count ? count[members.classes[slot]] : members.count(slot) + 1; }
  __device__ float kept(const Membership& members, int slot) const { return keep[count ? members.classes[slot] : slot]; }

  // Where the terms of this batch are written: rank(...) of them from the row that is returned, and keep. By every block of a class; `is_first` is one thread.
  __device__ std::int64_t begin_terms(const Membership& members, int slot, int C, float kept_now, bool is_first) const {
    const int c = members.classes[slot], terms = members.count(slot) + 1;
    std::int64_t row = row_of_slot(members, slot);
    if (count) row = terms <= of_class ? std::int64_t{c} * of_class : std::int64_t{C} * of_class + row;
    if (is_first) {
      keep[count ? c : slot] = kept_now;
      if (count) {
        first[c] = static_cast<std::int32_t>(row);
        count[c] = terms;
      }
    }
    return row;
  }
};

// Folds the batch into the means, and returns the terms that the covariances are yet to receive. The counts stay as they are: who adds the terms adds to
// them, too. One launch.
CovarianceTerms fold_on_card(const Context& context, Scratch& scratch, const char* operation, const Membership& members, const ConstView& features,
                             const View& count, const View& mean);

// Adds the terms to covariances of every kind, and, where they are given, the samples to the counts. One launch.
void add_terms_on_card(const Context& context, const Membership& members, const CovarianceTerms& terms, const View& covariance, const View& count);

}  // namespace isda::kernels
