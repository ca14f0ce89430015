// SPDX-License-Identifier: Apache-2.0
// Streams and events of the emulated card.
//
// Immediate: what is enqueued runs at once. Deferred: it waits until somebody synchronises; then streams take turns by the dice, so that a
// missing event or synchronisation shows as a stale value. ThreadSanitizer sees it whatever the order (strand.h).
#include "kernels/emulator/streams.h"

#include <algorithm>
#include <chrono>

#include "kernels/emulator/emulator.h"
#include "kernels/emulator/machine.h"

struct CUevent_st : std::enable_shared_from_this<CUevent_st> {
  // NOTE: given up when the event is destroyed; what still waits in a stream for the event keeps it.
  std::shared_ptr<CUevent_st> self;
  std::uint64_t recorded = 0, reached = 0;
  std::chrono::steady_clock::time_point time;
  std::uint64_t capture = 0;  // the number of the one that it was last recorded in; 0: in none
  std::vector<std::size_t> nodes;
  isda::emulator::sanitizer::Token token{};
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

}  // namespace

// NOTE: begun anew by every new seed, so that a seed repeats what happened.
Dice& stream_dice() {
  static std::uint64_t seed = options().seed;
  static Dice made(seed);
  if (seed != options().seed) made = Dice(seed = options().seed);
  return made;
}

CUstream_st& at(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread ? streams().default_stream : *stream;
}

namespace {

bool is_empty(const CUstream_st* stream) { return stream->tasks.empty(); }

void run(CUstream_st& stream, const Task& task) {
  working = &stream.strand;
  acquire_as_strand(stream.enqueued);
  task.work();
  release_as_strand(stream.done);
}

// Runs one task of a stream that may run, chosen by the dice; false when none may.
bool run_one() {
  const auto& all = streams().all;
  const auto first = static_cast<std::size_t>(stream_dice().below(static_cast<unsigned>(all.size())));
  for (std::size_t i = 0; i < all.size(); ++i) {
    CUstream_st& stream = *all[(first + i) % all.size()];
    if (stream.tasks.empty() || (stream.tasks.front().may_run && !stream.tasks.front().may_run())) continue;
    const Task task = std::move(stream.tasks.front());
    stream.tasks.pop_front();
    run(stream, task);
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
  sanitizer::release(&stream.enqueued);
  stream.tasks.push_back(std::move(task));
  if (!options().deferred_streams) run_until([&] { return stream.tasks.empty(); });
  return cudaSuccess;
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
  for (CUstream_st* stream : streams().all) sanitizer::acquire(&stream->done);
}

// What the stream has done lies before what the host does next.
cudaError_t wait_for(CUstream_st& stream) {
  run_until([&] { return stream.tasks.empty(); });
  sanitizer::acquire(&stream.done);
  return failed(sticky_error());
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
  return wait_for(stream);
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
  give_back(stream->strand);
  delete stream;
  return cudaSuccess;
}

// ---- events ----

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const auto made = std::make_shared<CUevent_st>();
  made->self = made;
  *event = made.get();
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  SIMT_API_LOCK;
  event->self.reset();
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
  return push(handle, {[event = event->shared_from_this(), turn = ++event->recorded] {
                release_as_strand(event->token);
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
  const auto kept = event->shared_from_this();
  return push(handle, {[kept] { acquire_as_strand(kept->token); }, [kept, turn = event->recorded] { return kept->reached >= turn; }});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  SIMT_API_LOCK;
  if (event->capture) return capture_of(*event) ? refuse_while_capturing("cudaEventSynchronize") : refuse_captured("cudaEventSynchronize");
  run_until([&] { return event->reached >= event->recorded; });
  sanitizer::acquire(&event->token);
  return failed(sticky_error());
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  SIMT_API_LOCK;
  if (event->capture) return refuse_captured("cudaEventQuery");
  run_one();
  if (event->reached < event->recorded) return cudaErrorNotReady;
  sanitizer::acquire(&event->token);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  SIMT_API_LOCK;
  if (begin->reached < begin->recorded || end->reached < end->recorded) return failed(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}

}  // extern "C"
