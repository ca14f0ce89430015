// SPDX-License-Identifier: Apache-2.0
// Graphs of the emulated card: recorded from a stream and those that join it, and replayed in an order that the edges allow.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/emulator/emulator.h"
#include "kernels/emulator/machine.h"
#include "kernels/emulator/streams.h"

namespace isda::emulator {

namespace {

// A graph as it is replayed: nodes in the order in which they were captured, each on a branch, which is a node behind another. Branch 0 is the launching
// stream's.
struct Replay {
  std::vector<CUgraph_st::Node> nodes;
  std::vector<std::size_t> branch_of;  // of each node
  std::vector<Strand*> branches;       // but the first
  std::vector<sanitizer::Token> done;  // of each node
  sanitizer::Token begun{};

  explicit Replay(std::vector<CUgraph_st::Node> captured);
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;
};

Replay::Replay(std::vector<CUgraph_st::Node> captured) : nodes(std::move(captured)), branch_of(nodes.size()), done(nodes.size()) {
  // A node goes on with the branch of a node before it that nobody has gone on with yet; where there is none it begins one.
  std::vector<std::size_t> ends;  // by branch, the node at its end
  for (std::size_t node = 0; node < nodes.size(); ++node) {
    const auto& after = nodes[node].after;
    const auto branch = std::find_if(ends.begin(), ends.end(), [&](std::size_t end) { return std::find(after.begin(), after.end(), end) != after.end(); });
    branch_of[node] = static_cast<std::size_t>(branch - ends.begin());
    if (branch == ends.end())
      ends.push_back(node);
    else
      *branch = node;
  }
  for (std::size_t branch = 1; branch < ends.size(); ++branch) branches.push_back(&take_strand());
}

Replay::~Replay() {
  for (Strand* branch : branches) give_back(*branch);
}

// One node, by the strand of its branch.
void run_node(Replay& replay, std::size_t node, Strand& stream) {
  const std::size_t branch = replay.branch_of[node];
  working = branch == 0 ? &stream : replay.branches[branch - 1];
  acquire_as_strand(replay.begun);
  for (const std::size_t before : replay.nodes[node].after) acquire_as_strand(replay.done[before]);
  replay.nodes[node].work();
  release_as_strand(replay.done[node]);
}

// Nodes in an order that their dependencies allow: as captured, or by the dice.
void run(Replay& replay) {
  Strand& stream = *working;
  release_as_strand(replay.begun);
  const std::size_t count = replay.nodes.size();
  std::vector<bool> is_done(count);
  for (std::size_t turn = 0; turn < count; ++turn) {
    const std::size_t first = options().deferred_streams ? stream_dice().below(static_cast<unsigned>(count)) : 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t candidate = (first + i) % count;
      const auto& after = replay.nodes[candidate].after;
      if (is_done[candidate] || !std::all_of(after.begin(), after.end(), [&](std::size_t node) { return is_done[node]; })) continue;
      run_node(replay, candidate, stream);
      is_done[candidate] = true;
      break;
    }
  }
  working = &stream;
  for (sanitizer::Token& done : replay.done) acquire_as_strand(done);
}

}  // namespace

}  // namespace isda::emulator

struct CUgraphExec_st {
  std::shared_ptr<isda::emulator::Replay> replay;
};

using namespace isda::emulator;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  SIMT_API_LOCK;
  CUstream_st& stream = at(handle);
  if (handle == nullptr || stream.capture)
    return failed(cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture: the stream is captured already, or the default one");
  stream.capture = new CUgraph_st;
  static std::uint64_t captures = 0;
  stream.capture->number = ++captures;
  stream.capture->origin = &stream;
  stream.capture->streams = {&stream};
  stream.last.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  SIMT_API_LOCK;
  const CUgraph_st* capture = at(stream).capture;
  *status = !capture ? cudaStreamCaptureStatusNone : capture->is_valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  SIMT_API_LOCK;
  CUstream_st& stream = at(handle);
  *graph = nullptr;
  if (!stream.capture || stream.capture->origin != &stream) return failed(cudaErrorInvalidValue, "cudaStreamEndCapture: no capture began on this stream");
  std::unique_ptr<CUgraph_st> captured(stream.capture);
  // What other streams did must have come back to this one by an event.
  bool is_joined = true;
  for (CUstream_st* other : captured->streams) {
    if (other != &stream) {
      for (const std::size_t node : other->last) {
        std::vector<bool> is_before(captured->nodes.size());
        for (const std::size_t last : stream.last) is_before[last] = true;
        for (std::size_t i = captured->nodes.size(); i-- > 0;) {
          if (is_before[i]) {
            for (const std::size_t before : captured->nodes[i].after) is_before[before] = true;
          }
        }
        is_joined = is_joined && is_before[node];
      }
    }
    other->capture = nullptr;
  }
  if (!captured->is_valid) return failed(cudaErrorStreamCaptureInvalidated);
  if (!is_joined) return failed(cudaErrorStreamCaptureUnjoined, "cudaStreamEndCapture: another stream joined the capture and did not come back");
  *graph = captured.release();
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  if (nodes) return failed(cudaErrorInvalidValue, "cudaGraphGetNodes: the emulator only counts nodes");
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  SIMT_API_LOCK;
  *executable = new CUgraphExec_st{std::make_shared<Replay>(graph->nodes)};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  SIMT_API_LOCK;
  // NOTE: the task keeps the nodes: the graph may be destroyed before the stream comes to it.
  return submit(stream, [replay = executable->replay] { run(*replay); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  SIMT_API_LOCK;
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  SIMT_API_LOCK;
  delete executable;
  return cudaSuccess;
}

}  // extern "C"
