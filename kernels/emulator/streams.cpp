// SPDX-License-Identifier: Apache-2.0
// Streams, events and graphs of the emulated card.
//
// Immediate: what is enqueued runs at once. Deferred: it waits until somebody synchronises; then streams take turns by the dice, so that a
// missing event or synchronisation shows as a stale value. A capture records tasks and what each must come after; a replay runs them in an
// order that this allows.
#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/emulator/block.h"
#include "kernels/emulator/emulator.h"
#include "kernels/emulator/machine.h"

namespace {

using isda::emulator::Work;

struct Task {
  Work work;
  std::function<bool()> may_run = {};  // empty: always
};

}  // namespace

struct CUgraph_st {
  struct Node {
    Work work;
    std::vector<std::size_t> after;
  };
  std::vector<Node> nodes;
  CUstream_st* origin = nullptr;
  std::uint64_t number = 0;  // of captures, counted
  bool is_valid = true;
  std::vector<CUstream_st*> streams;  // that take part in the capture
};

struct CUgraphExec_st {
  std::vector<CUgraph_st::Node> nodes;
};

struct CUstream_st {
  std::deque<Task> tasks;
  CUgraph_st* capture = nullptr;
  std::vector<std::size_t> last;  // nodes of the capture that the next one comes after
};

struct CUevent_st {
  std::uint64_t recorded = 0, reached = 0;
  std::chrono::steady_clock::time_point time;
  std::uint64_t capture = 0;  // the number of the one that it was last recorded in; 0: in none
  std::vector<std::size_t> nodes;
};

namespace isda::emulator {

namespace {

struct Streams {
  CUstream_st default_stream;
  std::vector<CUstream_st*> all{&default_stream};
};

Streams& streams() {
  static auto* made = new Streams;
  return *made;
}

// NOTE: begun anew by every new seed, so that a seed repeats what happened.
Dice& dice() {
  static std::uint64_t seed = options().seed;
  static Dice made(seed);
  if (seed != options().seed) made = Dice(seed = options().seed);
  return made;
}

CUstream_st& at(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread ? streams().default_stream : *stream;
}

bool is_empty(const CUstream_st* stream) { return stream->tasks.empty(); }

// Runs one task of a stream that may run, chosen by the dice; false when none may.
bool run_one() {
  const auto& all = streams().all;
  const auto first = static_cast<std::size_t>(dice().below(static_cast<unsigned>(all.size())));
  for (std::size_t i = 0; i < all.size(); ++i) {
    CUstream_st& stream = *all[(first + i) % all.size()];
    if (stream.tasks.empty() || (stream.tasks.front().may_run && !stream.tasks.front().may_run())) continue;
    const Task task = std::move(stream.tasks.front());
    stream.tasks.pop_front();
    task.work();
    return true;
  }
  return false;
}

template <class Condition>
void run_until(Condition&& holds) {
  while (!holds() && run_one()) {
  }
}

void add_node(CUstream_st& stream, Work work) {
  CUgraph_st& graph = *stream.capture;
  graph.nodes.push_back({std::move(work), stream.last});
  stream.last = {graph.nodes.size() - 1};
}

// The capture that the event was recorded in, while it goes on.
CUgraph_st* capture_of(const CUevent_st& event) {
  for (const CUstream_st* stream : streams().all) {
    if (event.capture && stream->capture && stream->capture->number == event.capture) return stream->capture;
  }
  return nullptr;
}

cudaError_t refuse_captured(const char* function) {
  return failed(cudaErrorCapturedEvent, std::string(function) + ": the event was recorded in a capture and marks no place in a stream");
}

cudaError_t push(cudaStream_t handle, Task task) {
  CUstream_st& stream = at(handle);
  stream.tasks.push_back(std::move(task));
  if (!options().deferred_streams) run_until([&] { return stream.tasks.empty(); });
  return cudaSuccess;
}

// Nodes in an order that their dependencies allow: as captured, or by the dice.
void replay(const std::vector<CUgraph_st::Node>& nodes) {
  std::vector<bool> is_done(nodes.size());
  for (std::size_t count = 0; count < nodes.size(); ++count) {
    const std::size_t first = options().deferred_streams ? dice().below(static_cast<unsigned>(nodes.size())) : 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const std::size_t candidate = (first + i) % nodes.size();
      const auto& after = nodes[candidate].after;
      if (is_done[candidate] || !std::all_of(after.begin(), after.end(), [&](std::size_t node) { return is_done[node]; })) continue;
      nodes[candidate].work();
      is_done[candidate] = true;
      break;
    }
  }
}

}  // namespace

cudaError_t submit(cudaStream_t handle, Work work) {
  CUstream_st& stream = at(handle);
  if (stream.capture) {
    add_node(stream, std::move(work));
    return cudaSuccess;
  }
  return push(handle, {std::move(work)});
}

bool is_capturing(cudaStream_t stream) { return at(stream).capture != nullptr; }

cudaError_t refuse_while_capturing(const char* function) {
  for (CUstream_st* stream : streams().all) {
    if (!stream->capture) continue;
    stream->capture->is_valid = false;
    return failed(cudaErrorStreamCaptureUnsupported, std::string(function) + " while a stream is being captured: its work would not be part of the graph");
  }
  return cudaSuccess;
}

void drain_all_streams() {
  run_until([] { return std::all_of(streams().all.begin(), streams().all.end(), is_empty); });
}

void forget_all_work() {
  for (CUstream_st* stream : streams().all) {
    stream->tasks.clear();
    if (stream->capture && stream->capture->origin == stream) delete stream->capture;
  }
  for (CUstream_st* stream : streams().all) stream->capture = nullptr;
}

}  // namespace isda::emulator

using namespace isda::emulator;

extern "C" {

// ---- streams ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  SIMT_API_LOCK;
  // NOTE: a stream without this flag waits for the default stream and it for the stream; the house never wants that, and nothing here does it.
  if (flags != cudaStreamNonBlocking) return failed(cudaErrorInvalidValue, "cudaStreamCreateWithFlags: the emulator has only cudaStreamNonBlocking");
  *stream = new CUstream_st;
  streams().all.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  SIMT_API_LOCK;
  CUstream_st& stream = at(handle);
  if (stream.capture) return refuse_while_capturing("cudaStreamSynchronize");
  run_until([&] { return stream.tasks.empty(); });
  return failed(sticky_error());
}

cudaError_t cudaDeviceSynchronize() {
  SIMT_API_LOCK;
  if (const cudaError_t error = refuse_while_capturing("cudaDeviceSynchronize")) return error;
  drain_all_streams();
  return failed(sticky_error());
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  SIMT_API_LOCK;
  cudaStreamSynchronize(stream);
  std::erase(streams().all, stream);
  delete stream;
  return cudaSuccess;
}

// ---- events ----

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  SIMT_API_LOCK;
  // NOTE: tasks that are still waiting in a stream name the event.
  if (event->reached < event->recorded) drain_all_streams();
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  SIMT_API_LOCK;
  CUstream_st& stream = at(handle);
  if (stream.capture) {
    event->capture = stream.capture->number;
    event->nodes = stream.last;
    return cudaSuccess;
  }
  event->capture = 0;
  return push(handle, {[event, turn = ++event->recorded] {
                event->reached = std::max(event->reached, turn);
                event->time = std::chrono::steady_clock::now();
              }});
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  SIMT_API_LOCK;
  CUstream_st& stream = at(handle);
  if (event->capture) {
    CUgraph_st* capture = capture_of(*event);
    if (!capture) return refuse_captured("cudaStreamWaitEvent");
    // The stream joins the capture that the event was recorded in.
    if (!stream.capture) {
      stream.capture = capture;
      stream.last.clear();
      capture->streams.push_back(&stream);
    } else if (stream.capture != capture) {
      stream.capture->is_valid = capture->is_valid = false;
      return failed(cudaErrorStreamCaptureMerge, "cudaStreamWaitEvent: two captures would become one");
    }
    for (const std::size_t node : event->nodes) {
      if (std::find(stream.last.begin(), stream.last.end(), node) == stream.last.end()) stream.last.push_back(node);
    }
    return cudaSuccess;
  }
  if (stream.capture) {
    stream.capture->is_valid = false;
    return failed(cudaErrorStreamCaptureUnsupported, "cudaStreamWaitEvent: a captured stream waits for an event that was recorded outside of the capture");
  }
  return push(handle, {[] {}, [event, turn = event->recorded] { return event->reached >= turn; }});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  SIMT_API_LOCK;
  if (event->capture) return capture_of(*event) ? refuse_while_capturing("cudaEventSynchronize") : refuse_captured("cudaEventSynchronize");
  run_until([&] { return event->reached >= event->recorded; });
  return failed(sticky_error());
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  SIMT_API_LOCK;
  if (event->capture) return refuse_captured("cudaEventQuery");
  run_one();
  return event->reached >= event->recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  SIMT_API_LOCK;
  if (begin->reached < begin->recorded || end->reached < end->recorded) return failed(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}

// ---- graphs ----

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
  *executable = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  SIMT_API_LOCK;
  // NOTE: the task keeps the nodes: the graph may be destroyed before the stream comes to it.
  return submit(stream, [nodes = executable->nodes] { replay(nodes); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

}  // extern "C"
