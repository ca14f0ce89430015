// SPDX-License-Identifier: Apache-2.0
#include "core/autograd.h"

#include <iterator>
#include <map>
#include <queue>
#include <utility>

#include "kernels/elementwise/elementwise.h"

namespace isda {

namespace {

thread_local bool is_recording = true;
thread_local std::uint64_t next_sequence = 0;

// The inputs of steps that were freed on this thread and wait to be freed themselves; null while no step is being freed.
thread_local std::vector<std::shared_ptr<History>>* waiting = nullptr;

// Adds to what is there. NOTE: a first gradient is shared, not copied; the sum therefore goes into fresh memory.
void accumulate(Tensor& sum, const Tensor& gradient) {
  if (!sum) {
    sum = gradient.detached();
    return;
  }
  const Tensor result = Tensor::like(sum);
  kernels::run(sum.context(), kernels::Add{.a = sum, .b = gradient, .y = result});
  sum = result;
}

// What every backward begins with. NOTE: made once, since a recorded graph can take nothing from the host.
Tensor one_of(DType type, Device device) {
  thread_local std::map<std::pair<Device, DType>, Tensor> ones;
  Tensor& one = ones[{device, type}];
  if (!one) one = Tensor::full({1}, 1, type, device);
  return one;
}

struct Earlier {
  bool operator()(const std::shared_ptr<History>& a, const std::shared_ptr<History>& b) const { return a->maker->sequence < b->maker->sequence; }
};

// Runs one step backward and hands its gradients to its inputs.
void run_backward(const std::shared_ptr<History>& output) {
  Node& node = *output->maker;
  const Tensor dy = std::exchange(output->gradient, {});
  Pending pending(node.inputs);
  Gradients gradients = node.backward(dy, pending);
  node.backward = nullptr;
  require(gradients.size() == node.inputs.size(), "[autograd] a backward closure returned {} gradients for {} inputs", gradients.size(), node.inputs.size());
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (!node.inputs[i]) continue;
    node.inputs[i]->uses -= 1;
    require(static_cast<bool>(gradients[i]), "[autograd] a backward closure returned no gradient for input {}, which needs one", i);
    accumulate(node.inputs[i]->gradient, gradients[i]);
  }
}

}  // namespace

Node::~Node() {
  // NOTE: the inputs outlive the closure, whose saved tensors are mostly the same ones: their steps are freed in the loop, not from within it.
  if (waiting) {
    waiting->insert(waiting->end(), std::make_move_iterator(inputs.begin()), std::make_move_iterator(inputs.end()));
    return;
  }
  std::vector<std::shared_ptr<History>> mine = std::move(inputs);
  waiting = &mine;
  backward = nullptr;
  while (!mine.empty()) {
    const std::shared_ptr<History> next = std::move(mine.back());
    mine.pop_back();
  }
  waiting = nullptr;
}

NoGradient::NoGradient() : outer_(is_recording) { is_recording = false; }
NoGradient::~NoGradient() { is_recording = outer_; }

bool needs_gradient(const Tensor& tensor) { return is_recording && tensor.history() != nullptr; }

Tensor Pending::take(std::size_t input) {
  const auto& history = inputs_.at(input);
  if (!history || !history->maker) return {};
  return std::exchange(history->gradient, {});
}

GradientSums* Pending::asked(std::size_t input) const {
  const auto& history = inputs_.at(input);
  return history && history->uses == 1 ? history->asked.get() : nullptr;
}

Tensor parameter(Tensor tensor) {
  tensor.set_history(std::make_shared<History>());
  return tensor;
}

Tensor gradient_of(const Tensor& parameter) { return parameter.history() ? parameter.history()->gradient : Tensor(); }

void clear_gradient(const Tensor& parameter) {
  if (parameter.history()) parameter.history()->gradient = {};
}

bool is_one(const Tensor& gradient) { return gradient.view().data() == one_of(gradient.type(), gradient.device()).view().data(); }

Tensor record(Tensor y, std::initializer_list<Tensor> inputs, Backward backward) {
  auto node = std::make_shared<Node>();
  bool is_needed = false;
  for (const Tensor& input : inputs) {
    node->inputs.push_back(needs_gradient(input) ? input.history() : nullptr);
    is_needed = is_needed || node->inputs.back();
  }
  if (!is_needed) return y;
  for (const auto& input : node->inputs) {
    if (input) input->uses += 1;
  }
  node->sequence = ++next_sequence;
  node->backward = std::move(backward);
  y.set_history(std::make_shared<History>(History{.maker = std::move(node)}));
  return y;
}

void backward(const Tensor& loss) {
  require(loss.size() == 1, "[autograd] backward() starts at one element, got shape {}", loss.shape());
  require(loss.history() && loss.history()->maker, "[autograd] backward() of a tensor that was not computed from parameters, or under NoGradient");
  loss.history()->gradient = one_of(loss.type(), loss.device()).reshaped(loss.shape());

  std::priority_queue<std::shared_ptr<History>, std::vector<std::shared_ptr<History>>, Earlier> queue;
  queue.push(loss.history());
  while (!queue.empty()) {
    const std::shared_ptr<History> output = queue.top();
    queue.pop();
    Node& node = *output->maker;
    if (node.has_run && !output->gradient) continue;  // queued once for each of its uses
    require(!node.has_run, "[autograd] backward() a second time through a step that made {}: what it saved was freed by the first; run the forward again",
            output->gradient.shape());
    node.has_run = true;
    run_backward(output);
    for (const auto& input : node.inputs) {
      if (input && input->maker) queue.push(input);
    }
    node.inputs.clear();
  }
}

}  // namespace isda
