// SPDX-License-Identifier: Apache-2.0
// IsdaHead in two launches: a block for each class, and the sums over the classes.
#pragma once
#include "kernels/isda/isda.h"

namespace isda::kernels {

// Full covariances, of up to kMostFeaturesByClass features.
void head_by_class(const Context& context, const IsdaHead& op);

// Diagonal covariances, where what the classes add to dW is not too much to lie in memory for each of them.
bool is_diagonal_by_class(const IsdaHead& op);
void head_by_class_diagonal(const Context& context, const IsdaHead& op);

// NOTE: what a block of sm_80 may have, so that there is one plan for all cards, and one order of every sum.
inline constexpr std::size_t kMostShared = std::size_t{163} << 10;

// What the block of a class leaves for the sums; that of an absent class no samples.
struct ClassRecord {
  int samples;
  int slot;  // where its sums lie: the class, or, where there are fewer samples than classes, its first sample
  float loss;
  int hits;
};

// The sums over the classes, in order of their numbers: the second launch.
struct ClassSums {
  int N, C, A, columns;           // columns: of a row of dweight_of_slots, A padded
  const ClassRecord* records;     // (C)
  const float* dweight_of_slots;  // (slots,C,columns)
  const float* dbias_of_slots;    // (slots,C)
  float* dweight;                 // (C,A)
  float* dbias;                   // (C), or null
  float* loss;                    // (1)
  std::int32_t* correct;          // (1)
};
void add_classes(const Context& context, const ClassSums& op);

}  // namespace isda::kernels
