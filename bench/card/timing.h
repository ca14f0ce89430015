// SPDX-License-Identifier: Apache-2.0
// Times of the card: some launches recorded as a graph of kRuns runs in a row, as a training step replays them, so that what the host does for a launch
// (ours checks, a library searches its tables) is in nobody's time.
#pragma once
#include <functional>
#include <memory>

#include "bench/roofline.h"
#include "kernels/common/cuda_device.h"

namespace isda::bench {

class Recorded {
 public:
  static constexpr int kRuns = 20;

  // Runs it once, then records it. What cannot be recorded is launched run by run.
  Recorded(const Context& context, std::function<void(const Context&)> run);

  // Of one run: the graph's time between two events, over kRuns.
  double seconds(const Context& context) const;
  bool is_graph() const { return graph_ != nullptr; }
  // Nodes of the graph for one run; 0 where there is none.
  std::size_t nodes() const { return graph_ ? graph_->nodes() / kRuns : 0; }

 private:
  std::function<void(const Context&)> run_;
  // NOTE: temporaries of its own, since a graph goes on using those it was recorded with.
  std::unique_ptr<Arena> scratch_;
  std::unique_ptr<cuda::Graph> graph_;
};

// The rates that lines of this type of activations need.
Roofline measure_card(const Context& context, DType type);

}  // namespace isda::bench
