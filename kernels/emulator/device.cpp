// SPDX-License-Identifier: Apache-2.0
// The emulated card itself: its properties, its errors, the launch of a kernel, the options and the counters.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "kernels/emulator/machine.h"
#include "kernels/emulator/shared_memory.h"
#include "kernels/emulator/strand.h"

namespace isda::emulator {

namespace {

cudaError_t last = cudaSuccess, sticky = cudaSuccess;
std::string report;
std::map<std::string, Counters> counters_by_name;
std::unordered_map<const char*, std::uint64_t> calls_by_function;

// Prints the table when the program ends, where the environment asks for it.
// NOTE: declared behind the counters, so that it is destroyed before them.
struct PrintAtExit {
  ~PrintAtExit() {
    const char* asked = std::getenv("ISDA_EMULATOR_COUNTS");
    if (asked && *asked) std::fputs(counters_table().c_str(), stderr);
  }
} print_at_exit;

Options options_from_environment() {
  Options result;
  const auto value_of = [](const char* name) { return std::string(std::getenv(name) ? std::getenv(name) : ""); };
  const std::string order = value_of("ISDA_EMULATOR_ORDER");
  if (order == "reverse") result.order = Order::reverse;
  if (order == "random") result.order = Order::random;
  if (order == "pct") result.order = Order::pct;
  if (const std::string seed = value_of("ISDA_EMULATOR_SEED"); !seed.empty()) result.seed = std::strtoull(seed.c_str(), nullptr, 10);
  result.deferred_streams = value_of("ISDA_EMULATOR_STREAMS") == "deferred";
  return result;
}

}  // namespace

std::recursive_mutex& api_lock() {
  static std::recursive_mutex lock;
  return lock;
}

ApiCall::ApiCall(const char* function) { calls_by_function[function] += 1; }

Options& options() {
  static Options made = options_from_environment();
  return made;
}

Counters& Counters::operator+=(const Counters& other) {
  static_assert(sizeof(Counters) % sizeof(std::uint64_t) == 0);
  auto* mine = reinterpret_cast<std::uint64_t*>(this);
  const auto* others = reinterpret_cast<const std::uint64_t*>(&other);
  for (std::size_t i = 0; i < sizeof(Counters) / sizeof(std::uint64_t); ++i) mine[i] += others[i];
  return *this;
}

std::map<std::string, Counters> counters() { return counters_by_name; }
std::map<std::string, std::uint64_t> api_calls() {
  std::map<std::string, std::uint64_t> result;
  for (const auto& [function, calls] : calls_by_function) result[function] += calls;
  return result;
}
void reset_counters() {
  counters_by_name.clear();
  calls_by_function.clear();
}

std::string counters_table() {
  const auto ratio = [](std::uint64_t part, std::uint64_t whole) { return whole ? static_cast<double>(part) / static_cast<double>(whole) : 0.0; };
  char row[256];
  std::snprintf(row, sizeof row, "  %-32s %5s %7s %9s %9s %8s %10s %10s %9s %9s %9s\n", "kernel", "runs", "blocks", "read", "written", "sectors", "conflicts",
                "divergent", "barriers", "warp ops", "mma");
  std::string table = row;
  for (const auto& [name, counts] : counters_by_name) {
    std::snprintf(row, sizeof row, "  %-32s %5llu %7llu %9.1f %9.1f %8.2f %10.2f %9.1f%% %9llu %9llu %9llu\n", name.c_str(),
                  static_cast<unsigned long long>(counts.launches), static_cast<unsigned long long>(counts.blocks),
                  static_cast<double>(counts.global_read_bytes) / 1024, static_cast<double>(counts.global_written_bytes) / 1024,
                  ratio(32 * counts.global_sectors, counts.global_read_bytes + counts.global_written_bytes),
                  ratio(counts.shared_conflicts + counts.ldmatrix_conflicts, counts.shared_requests + counts.ldmatrix_reads),
                  100 * ratio(counts.divergent_steps, counts.steps), static_cast<unsigned long long>(counts.barriers),
                  static_cast<unsigned long long>(counts.warp_collectives), static_cast<unsigned long long>(counts.tensor_products));
    table += row;
  }
  return table;
}

bool counts_accesses() {
#if defined(ISDA_EMULATOR_COUNTED)
  return true;
#else
  return false;
#endif
}

std::string last_report() { return report; }

void reset_device() {
  SIMT_API_LOCK;
  forget_all_work();
  last = sticky = cudaSuccess;
  report.clear();
}

cudaError_t failed(cudaError_t error, const std::string& story) {
  if (error == cudaSuccess) return error;
  last = error;
  // NOTE: an error that stays keeps the story it was told with.
  if (!story.empty() || error != sticky) report = story;
  return error;
}

void set_sticky_error(cudaError_t error, const std::string& story) {
  sticky = error;
  failed(error, story);
}

cudaError_t sticky_error() { return sticky; }

namespace {

// What every card refuses (CUDA C++ Programming Guide, table of technical specifications per compute capability).
const char* why_refused(const Launch& launch) {
  const dim3 &grid = launch.grid, &block = launch.block;
  if (std::uint64_t{grid.x} * grid.y * grid.z == 0 || std::uint64_t{block.x} * block.y * block.z == 0) return "a grid or block without threads";
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || std::uint64_t{block.x} * block.y * block.z > 1024) return "a block of more than 1024 threads";
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return "a grid of more than 2^31-1 x 65535 x 65535 blocks";
  if (launch.shared_bytes > SharedMemory::kLimit) return "more than 227 KiB of shared memory";
  return nullptr;
}

// What the kernel could not follow without an illegal address, known before it runs; empty when all is well.
// NOTE: null is an optional argument, and the end of an allocation an empty array. Pointers inside of structures are not seen.
std::string wrong_pointer(const Launch& launch) {
  const std::vector<const void*> pointers = launch.pointers(launch.arguments);
  for (std::size_t i = 0; i < pointers.size(); ++i) {
    if (!pointers[i] || is_device_memory(pointers[i], 0) || is_pinned_memory(pointers[i])) continue;
    return "argument " + std::to_string(i + 1) + " is a pointer to memory that is not the card's: the host's, or freed";
  }
  return {};
}

// Runs the kernel; the story of what went wrong, or nothing.
std::string run(const Launch& launch) {
  if (std::string wrong = wrong_pointer(launch); !wrong.empty()) return wrong;
  const OnTheCard on_the_card;
  Counters& counters = counters_by_name[launch.name];
  std::string story;
  {
    const AsStrand as_strand;
    const sanitizer::Unseen unseen;
    story = run_grid(*working->grid, launch, counters);
  }
  return story.empty() ? written_outside_allocations() : story;
}

}  // namespace

cudaError_t enqueue(const Launch& launch, void* bound, void (*destroy)(void*), cudaStream_t stream) {
  SIMT_API_LOCK;
  const std::shared_ptr<void> kept(bound, destroy);
  if (sticky != cudaSuccess) return sticky;
  if (const char* reason = why_refused(launch)) return failed(cudaErrorInvalidConfiguration, std::string(launch.name) + ": " + reason);
  return submit(stream, [launch, kept] {
    if (sticky != cudaSuccess) return;
    const std::string story = run(launch);
    if (!story.empty()) set_sticky_error(cudaErrorLaunchFailure, std::string(launch.name) + ": " + story);
  });
}

}  // namespace isda::emulator

using namespace isda::emulator;

extern "C" {

#if defined(ISDA_EMULATOR_MEMORY)
// NOTE: libraries that were compiled without this sanitizer fill memory of the heap unseen; what the card holds is marked by the emulator.
const char* __msan_default_options() { return "poison_in_malloc=0:poison_in_free=0"; }
#endif

cudaError_t cudaGetLastError() {
  SIMT_API_LOCK;
  const cudaError_t error = last;
  last = sticky;
  return error;
}
cudaError_t cudaPeekAtLastError() { return last; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined: return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureMerge: return "cudaErrorStreamCaptureMerge";
    case cudaErrorCapturedEvent: return "cudaErrorCapturedEvent";
    default: return "cudaErrorUnknown";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "an error of the emulated device"; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice); }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return failed(cudaErrorInvalidDevice);
  *properties = cudaDeviceProp{};
  std::strcpy(properties->name, "emulated CUDA device");
  properties->major = options().architecture / 10;
  properties->minor = options().architecture % 10;
  properties->multiProcessorCount = 4;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->sharedMemPerBlock = SharedMemory::kDeclaredLimit;
  properties->sharedMemPerBlockOptin = SharedMemory::kLimit;
  properties->totalGlobalMem = options().device_bytes;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize && static_cast<std::size_t>(value) > SharedMemory::kLimit) return failed(cudaErrorInvalidValue);
  return cudaSuccess;
}

}  // extern "C"
