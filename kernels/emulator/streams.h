// SPDX-License-Identifier: Apache-2.0
// What stands behind a cudaStream_t and a cudaGraph_t. Inside the emulator only.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "kernels/emulator/block.h"
#include "kernels/emulator/machine.h"
#include "kernels/emulator/strand.h"

namespace isda::emulator {

struct Task {
  Work work;
  std::function<bool()> may_run = {};  // empty: always
};

}  // namespace isda::emulator

// A capture: what was done, and what each must come after.
struct CUgraph_st {
  struct Node {
    isda::emulator::Work work;
    std::vector<std::size_t> after;
  };
  std::vector<Node> nodes;
  CUstream_st* origin = nullptr;
  std::uint64_t number = 0;  // of captures, counted
  bool is_valid = true;
  std::vector<CUstream_st*> streams;  // that take part in the capture
};

struct CUstream_st {
  std::deque<isda::emulator::Task> tasks;
  isda::emulator::Strand& strand = isda::emulator::take_strand();
  isda::emulator::sanitizer::Token enqueued{}, done{};  // from the host to the stream, and back
  CUgraph_st* capture = nullptr;
  std::vector<std::size_t> last;  // nodes of the capture that the next one comes after
};

namespace isda::emulator {

// The stream of a handle; null is the default stream.
CUstream_st& at(cudaStream_t stream);
// What decides between streams and between nodes of a graph, where several could be next.
Dice& stream_dice();

}  // namespace isda::emulator
