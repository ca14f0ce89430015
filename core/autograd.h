// SPDX-License-Identifier: Apache-2.0
// Reverse-mode differentiation on a tape of closures.
//
// A layer computes y from its inputs and records how to go back, forward and backward side by side:
//
//   return differentiable(y, {x, weight}, [x, weight](const Tensor& dy) {
//     ...
//     return Gradients{dx, dweight};          // one per input, in order; undefined where none is needed
//   });
//
// Each recorded step has a sequence number; backward(loss) visits the steps that contributed to it in falling order, so that a
// gradient is complete before it is passed on. Activations' gradients are overwritten or summed on the way and freed when used;
// parameters (leaves) accumulate theirs until clear_gradient. A closure, and with it every tensor it saved, is freed as soon as it ran.
#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace isda {

using Gradients = std::vector<Tensor>;

// What a normalisation's backward pass needs to know of the gradient of its output y, dz = the gradient where mask > 0: the sums over all rows of dz and
// dz * (x - mean). The last step that adds to that gradient may hand on dz in place of it, and take the sums on the way.
struct GradientSums {
  Tensor x, mean;
  Tensor mask;              // undefined: dz is the gradient
  Tensor sum, sum_centred;  // undefined: nobody took them, and the gradient is as it is
};

// The gradients that a step's inputs have received so far from other steps. A closure that takes one must include it in the gradient it
// returns: the sum then costs no pass of its own.
class Pending {
 public:
  explicit Pending(const std::vector<std::shared_ptr<History>>& inputs) : inputs_(inputs) {}
  // Undefined when nothing is pending, or when the input is a leaf.
  Tensor take(std::size_t input);
  // What the maker of the input asks for, where this step is the last to add to the input's gradient; otherwise null. A closure that fills it must have
  // taken what was pending.
  GradientSums* asked(std::size_t input) const;

 private:
  const std::vector<std::shared_ptr<History>>& inputs_;
};

using Backward = std::function<Gradients(const Tensor& dy, Pending& pending)>;

// A recorded step of the computation.
struct Node {
  Node() = default;
  // Frees the steps before this one that nothing else holds, one after another: a chain may be longer than the stack is deep.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::uint64_t sequence = 0;
  std::vector<std::shared_ptr<History>> inputs;  // null where an input needs no gradient
  Backward backward;
  bool has_run = false;
};

// Mean and biased variance (C) over all but the last axis; undefined where nobody computed them.
struct BatchStatistics {
  Tensor mean, variance;
};

// A tensor's place in the computation: who made it, and its gradient so far. Leaves have no maker.
struct History {
  std::shared_ptr<Node> maker = nullptr;
  Tensor gradient = {};
  BatchStatistics statistics = {};                // what a convolution leaves for the batch normalisation behind it, or that for another
  std::shared_ptr<GradientSums> asked = nullptr;  // what a batch normalisation asks of the convolution behind it
  int uses = 0;                                   // recorded steps that take the tensor and have not gone back yet
  Tensor bf16_copy = {};                          // of a parameter, what a network computes with in bf16 (core/mixed_precision.h)
};

// While one of these lives, the calling thread records nothing: evaluation, statistics, optimizers.
class NoGradient {
 public:
  NoGradient();
  ~NoGradient();
  NoGradient(const NoGradient&) = delete;
  NoGradient& operator=(const NoGradient&) = delete;

 private:
  bool outer_;
};

// True for leaves that want a gradient and for what was computed from them while recording.
bool needs_gradient(const Tensor& tensor);

// Makes `tensor` a leaf: its gradient is accumulated over calls of backward.
Tensor parameter(Tensor tensor);
// A parameter's accumulated gradient; undefined before the first backward.
Tensor gradient_of(const Tensor& parameter);
void clear_gradient(const Tensor& parameter);
// Whether this gradient is the 1 that backward() begins with: known without reading it. What it would scale is right as it is.
bool is_one(const Tensor& gradient);

Tensor record(Tensor y, std::initializer_list<Tensor> inputs, Backward backward);

// Returns y with its place in the history, or y as it is when no input needs a gradient.
// The closure takes (dy) or (dy, Pending&).
template <class Closure>
Tensor differentiable(Tensor y, std::initializer_list<Tensor> inputs, Closure&& closure) {
  if constexpr (std::is_invocable_v<Closure&, const Tensor&, Pending&>)
    return record(std::move(y), inputs, std::forward<Closure>(closure));
  else
    return record(std::move(y), inputs, [closure = std::forward<Closure>(closure)](const Tensor& dy, Pending&) mutable { return closure(dy); });
}

// Computes the gradients of all leaves that `loss` (one element) depends on. A second call for the same computation is an Error: what it
// needs was freed by the first.
void backward(const Tensor& loss);

}  // namespace isda
