// SPDX-License-Identifier: Apache-2.0
// The card, through the CUDA runtime API. Host code only.
#include "kernels/common/cuda_device.h"

#include <fmt/core.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <utility>

#include "kernels/common/error.h"
#include "kernels/common/launch.cuh"

#if !defined(__CUDACC__)
#include "kernels/emulator/emulator.h"
#elif __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define ISDA_NVTX 1
#endif

namespace isda::cuda {

namespace {

double gibibytes(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

// What is known of a failure beyond its code: the emulator knows the thread and the line.
std::string story_of(cudaError_t status) {
#if defined(__CUDACC__)
  return cudaGetErrorString(status);
#else
  const std::string report = emulator::last_report();
  return report.empty() ? cudaGetErrorName(status) : report;
#endif
}

void check(cudaError_t status, const char* function) {
  if (status == cudaSuccess) [[likely]]
    return;
  const std::string story = story_of(status);
  cudaGetLastError();
  fail("[cuda] {} failed: {}: {}", function, cudaGetErrorName(status), story);
}

// The kernels launched by this thread since it last waited for the card: an error is only known then.
struct Launched {
  static constexpr std::size_t kKept = 8;
  std::array<const char*, kKept> names{};
  std::size_t count = 0;

  std::string text() const {
    std::string result;
    for (std::size_t i = count < kKept ? 0 : count - kKept; i < count; ++i) result += (result.empty() ? "" : ", ") + std::string(names[i % kKept]);
    return count > kKept ? fmt::format("{} (the last {} of {})", result, +kKept, count) : result;
  }
};
thread_local Launched launched;

// The oldest architecture this build has code for.
constexpr int kOldestMajor = 8;

}  // namespace

Card find_card() {
  Card result;
#if !defined(__CUDACC__)
  result.is_emulated = true;
#endif
  int devices = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&devices); status != cudaSuccess || devices == 0) {
    cudaGetLastError();
    int driver = 0;
    const bool has_driver = cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0;
    if (!has_driver)
      result.description = "no NVIDIA driver is installed";
    else if (status == cudaErrorInsufficientDriver)
      result.description = fmt::format("the NVIDIA driver is for CUDA {}.{}, this build needs {}.{} or newer", driver / 1000, driver % 1000 / 10,
                                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    else
      result.description = fmt::format("the NVIDIA driver finds no GPU ({})", cudaGetErrorName(status));
    return result;
  }
  cudaDeviceProp properties{};
  if (const cudaError_t status = cudaGetDeviceProperties(&properties, 0); status != cudaSuccess) {
    cudaGetLastError();
    result.description = fmt::format("the GPU does not answer ({})", cudaGetErrorName(status));
    return result;
  }
  result.multiprocessors = properties.multiProcessorCount;
  result.bytes = properties.totalGlobalMem;
  result.description = fmt::format("{}, sm_{}{}, {} multiprocessors, {:.1f} GiB", properties.name, properties.major, properties.minor,
                                   properties.multiProcessorCount, gibibytes(properties.totalGlobalMem));
  if (properties.major < kOldestMajor) {
    result.description += fmt::format("; this build has code for sm_{}0 and newer", kOldestMajor);
    return result;
  }
  result.is_usable = true;
  return result;
}

const Card& card() {
  static const Card found = find_card();
  return found;
}

void require_card() { require(card().is_usable, "[cuda] no card can be used: {}; run with --device cpu", card().description); }

// ---- memory ----

void* try_allocate(std::size_t bytes) {
  require_card();
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "cudaMalloc");
  return memory;
}

void fail_full(std::size_t bytes) {
  const auto [free, total] = free_memory();
  fail("[memory] the card has no {:.3f} GiB more: {:.3f} of {:.3f} GiB are free. Lower --batch-size or choose a smaller --model", gibibytes(bytes),
       gibibytes(free), gibibytes(total));
}

namespace {
std::atomic<void (*)()> reclaim_memory = nullptr;
}

void set_reclaim(void (*reclaim)()) { reclaim_memory = reclaim; }

void* allocate(std::size_t bytes) {
  void* memory = try_allocate(bytes);
  if (!memory && reclaim_memory) {
    reclaim_memory.load()();
    memory = try_allocate(bytes);
  }
  if (!memory) fail_full(bytes);
  return memory;
}

void release(void* memory) noexcept { cudaFree(memory); }

void* allocate_pinned(std::size_t bytes) {
  require_card();
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  return memory;
}

void release_pinned(void* memory) noexcept { cudaFreeHost(memory); }

FreeMemory free_memory() {
  FreeMemory result{};
  check(cudaMemGetInfo(&result.free, &result.total), "cudaMemGetInfo");
  return result;
}

void copy_to_device(void* to, const void* from, std::size_t bytes, Stream stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
}
void copy_to_host(void* to, const void* from, std::size_t bytes, Stream stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
}
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
}
void fill_bytes(void* to, int byte, std::size_t bytes, Stream stream) { check(cudaMemsetAsync(to, byte, bytes, stream), "cudaMemsetAsync"); }

// ---- streams ----

Stream create_stream() {
  require_card();
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return stream;
}

void destroy_stream(Stream stream) noexcept {
  cudaStreamSynchronize(stream);
  cudaStreamDestroy(stream);
}

void synchronise(Stream stream) {
  const cudaError_t status = cudaStreamSynchronize(stream);
  const Launched since = std::exchange(launched, {});
  if (status == cudaSuccess) return;
  const std::string story = story_of(status);
  cudaGetLastError();
  fail("[cuda] the card reports {}: {}. Launched since it was last asked: {}. With CUDA_LAUNCH_BLOCKING=1 the last of them is the one that failed",
       cudaGetErrorName(status), story, since.count ? since.text() : "nothing");
}

bool is_capturing(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

// ---- events ----

Event::Event(bool is_timed) { check(cudaEventCreateWithFlags(&event_, is_timed ? cudaEventDefault : cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::record(Stream stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
void Event::wait() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
void Event::hold(Stream stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
double Event::seconds_since(const Event& begin) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin.event_, event_), "cudaEventElapsedTime");
  return milliseconds * 1e-3;
}

// ---- graphs ----

Graph::Graph(Stream stream) : stream_(stream) { check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture"); }

Graph::~Graph() {
  if (is_recording_) {
    cudaGraph_t unfinished = nullptr;
    cudaStreamEndCapture(stream_, &unfinished);
    if (unfinished) cudaGraphDestroy(unfinished);
    cudaGetLastError();
  }
  if (executable_) cudaGraphExecDestroy(executable_);
}

void Graph::finish() {
  require(is_recording_, "[cuda] the graph was finished before");
  is_recording_ = false;
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
  cudaError_t status = cudaGraphGetNodes(graph, nullptr, &nodes_);
  if (status == cudaSuccess) status = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
}

void Graph::launch(Stream stream) const {
  require(executable_ != nullptr, "[cuda] the graph was not finished");
  check(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch");
}

// ---- launches ----

void check_launch(cudaError_t status, const LaunchShape& shape) {
  if (status == cudaSuccess) [[likely]]
    return;
  const std::string story = story_of(status);
  cudaGetLastError();
  const auto text = [](const dim3& extents) { return fmt::format("({},{},{})", extents.x, extents.y, extents.z); };
  fail("[{}] could not be launched with grid {}, block {}, {} bytes of dynamic shared memory: {}: {}", shape.name, text(shape.grid), text(shape.block),
       shape.shared_bytes, cudaGetErrorName(status), story);
}

void remember_launch(const char* name) { launched.names[launched.count++ % Launched::kKept] = name; }

namespace {
// NOTE: never destroyed: the driver may be gone before this thread's statics are.
struct Timing {
  Event begin, end;
};
Timing& timing() {
  thread_local auto* made = new Timing;
  return *made;
}
}  // namespace

KernelTimer::KernelTimer(const char* name, cudaStream_t stream) : name_(name), stream_(stream), is_on_(Trace::is_enabled() && !is_capturing(stream)) {
  if (is_on_) timing().begin.record(stream_);
}

KernelTimer::~KernelTimer() {
  if (!is_on_) return;
  try {
    timing().end.record(stream_);
    timing().end.wait();
    Trace::add_kernel(name_, timing().end.seconds_since(timing().begin));
  } catch (const Error&) {
    // NOTE: the failure stays with the card and is told by the next call that may throw.
  }
}

#if defined(ISDA_NVTX)
Range::Range(const char* name) { nvtxRangePushA(name); }
Range::~Range() { nvtxRangePop(); }
#else
Range::Range(const char*) {}
Range::~Range() = default;
#endif

}  // namespace isda::cuda
