// SPDX-License-Identifier: Apache-2.0
// Which samples of a batch belong to which class, worked out on the card: the present classes in order of their number, and the samples of each.
//
// How many classes are present the host never learns. So kernels are launched for as many as there can be, min(N,C), and a block whose slot
// nobody has returns at once, as a whole and before any barrier:
//
//   const int slot = ...blockIdx.x...;
//   if (slot >= *members.present) return;
#pragma once
#include "kernels/common/simt.cuh"

namespace isda::kernels {

// In device memory. A slot is a position among the present classes.
struct Membership {
  int most = 0;            // min(N,C)
  int* present = nullptr;  // (1) K
  int* classes = nullptr;  // (most) the class in each slot
  int* begin = nullptr;    // (most+1) where its samples begin in `samples`; begin[K] is their end
  int* samples = nullptr;  // (N) the samples by slot, ascending within it

  __device__ int count(int slot) const { return begin[slot + 1] - begin[slot]; }
};

// One launch, to where `members` points. slots: (C) receives the slot of each class, -1 for an absent one; null if nobody asks.
// NOTE: nobody on the card can refuse a label outside [0,C): such a sample belongs to no class.
void sort_by_class(const Context& context, const ConstView& labels, std::int64_t classes, const Membership& members, int* slots);
// The same, in scratch memory.
Membership membership_of(const Context& context, Scratch& scratch, const ConstView& labels, std::int64_t classes, int* slots);

}  // namespace isda::kernels
