// SPDX-License-Identifier: Apache-2.0
// What the ladder's levels share: the steps that no level is about, and what all levels from the second on do alike.
#pragma once
#include "kernels/isda/ladder/ladder.h"
#include "kernels/isda/statistics.cuh"

namespace isda::kernels::ladder {

// ---- a thread an element: how the simple kernels are launched ----

inline constexpr int kThreads = 256;

__device__ __forceinline__ std::int64_t this_element() { return blockIdx.x * std::int64_t{kThreads} + static_cast<int>(threadIdx.x); }

template <class... Parameters, class... Arguments>
void launch_elements(const Context& context, const char* name, std::int64_t count, void (*kernel)(Parameters...), Arguments&&... arguments) {
  launch(context, LaunchShape{.name = name, .grid = blocks_for(count, kThreads), .block = kThreads}, kernel, std::forward<Arguments>(arguments)...);
}

// An array of f32 in scratch memory.
inline View make(Scratch& scratch, const Shape& shape) { return View(scratch.take<float>(shape.size()), DType::f32, shape); }

struct Extents {
  int N, C, A;
};
Extents extents_of(const IsdaHead& op);

// The class of a sample. NOTE: of a label outside [0,C) the first, so that nothing is read where nothing is; its loss becomes NaN in the softmax.
__device__ __forceinline__ int class_of(const std::int32_t* labels, int n, int C) { return labels[n] >= 0 && labels[n] < C ? labels[n] : 0; }

// ---- around a level ----

struct Batch {
  View features;   // (N,A)
  View logits;     // (N,C): the plain ones
  View augmented;  // (N,C): the level's to make
  View gradient;   // (N,C): G, of the loss by the augmented logits
  View dfeatures;  // (N,A)
};
// The features and the plain logits.
Batch begin(const Context& context, Scratch& scratch, const IsdaHead& op);
// Loss, hits and G, from both logits.
void take_loss(const Context& context, const IsdaHead& op, const Batch& batch);
// The gradient of the maps, from that of the features.
void spread(const Context& context, const IsdaHead& op, const Batch& batch);

// ---- from the second level on ----

// What changes from level to level: how the batch comes into mean, count and covariance, and how U_c = D_c S_c of the new covariance is made.
struct PerClass {
  const IsdaHead& op;
  View features;       // (N,A)
  Membership members;  // which classes are present, and their samples
  View u;              // (min(N,C),C,A), to be written for the slots of present classes
};
using UpdateAndMultiply = void (*)(const Context&, Scratch&, const PerClass&);
// The whole head: Q[c,j] = U_c[j] . D_c[j] for each slot and class, the logits corrected by it, loss, gradients (IsdaBackward).
void run_per_class(const Context& context, const IsdaHead& op, UpdateAndMultiply update_and_multiply);

// ---- parts of levels that later ones go on using, each beside its level ----

// dense_statistics.cu: mean, count and S_c of all classes, by way of the batch's (N,A,A) and the new (C,A,A).
void update_densely(const Context& context, const IsdaHead& op, const View& features);
// level_02: U_c, a thread an element.
void multiply_per_class(const Context& context, const PerClass& of);
// level_03: mean, count and S_c of the present classes, in place.
void update_in_place(const Context& context, Scratch& scratch, const PerClass& of);

// ---- what it costs ----

// Extents as real numbers, to reckon with. K: how many classes are present, as expected of labels drawn evenly.
struct Sizes {
  double N, C, A, K, maps, elements;  // of x: bytes and elements
  explicit Sizes(const IsdaHead& op);
};
// Of begin, take_loss, the linear layer's gradients, and spread.
Cost cost_around(const Sizes& of);
// Of dense_statistics.cu.
Cost cost_of_dense_statistics(const Sizes& of);
// Of run_per_class but for what changes.
Cost cost_per_class(const Sizes& of);
// Of levels 3, 4 and 5.
Cost cost_in_place(const IsdaHead& op);
inline Cost operator+(const Cost& a, const Cost& b) { return {a.flop + b.flop, a.bytes + b.bytes}; }

}  // namespace isda::kernels::ladder
