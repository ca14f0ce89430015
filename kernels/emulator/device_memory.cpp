// SPDX-License-Identifier: Apache-2.0
// Memory of the emulated card: every allocation is known, starts as poison, and may not be touched by host code; every copy is checked.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/emulator/emulator.h"
#include "kernels/emulator/machine.h"
#include "kernels/emulator/strand.h"

namespace isda::emulator {

namespace {

// Begin and size of each allocation, by address.
class Allocations {
 public:
  void add(void* begin, std::size_t bytes) {
    by_begin_[static_cast<std::byte*>(begin)] = bytes;
    sum_ += bytes;
  }
  // The size of the allocation that begins there, which is forgotten; false when none does.
  bool remove(void* begin, std::size_t& bytes) {
    const auto found = by_begin_.find(static_cast<std::byte*>(begin));
    if (found == by_begin_.end()) return false;
    bytes = found->second;
    sum_ -= bytes;
    by_begin_.erase(found);
    return true;
  }
  bool hold(const void* pointer, std::size_t bytes) const {
    const auto* begin = static_cast<const std::byte*>(pointer);
    auto after = by_begin_.upper_bound(const_cast<std::byte*>(begin));
    if (after == by_begin_.begin()) return false;
    --after;
    return begin + bytes <= after->first + std::max<std::size_t>(after->second, 1);
  }
  std::size_t sum() const { return sum_; }
  const std::map<std::byte*, std::size_t>& all() const { return by_begin_; }

 private:
  std::map<std::byte*, std::size_t> by_begin_;
  std::size_t sum_ = 0;
};

// NOTE: never destroyed, since storage with static lifetime gives its memory back when the program ends.
Allocations& on_card() {
  static auto* made = new Allocations;
  return *made;
}
Allocations& pinned() {
  static auto* made = new Allocations;
  return *made;
}

int depth_on_the_card = 0;

// Poison before and behind every allocation: what is read there is NaN, what is written there is found after the kernel. AddressSanitizer has
// its own, and with it an allocation has exactly the bytes asked for: rounding up would hide a read past the end.
#if defined(ISDA_EMULATOR_ADDRESS)
constexpr std::size_t kGuard = 0;
#else
constexpr std::size_t kGuard = 512;
#endif
constexpr std::byte kPoison{0xff};

void* take(std::size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, std::max<std::size_t>(bytes, 1) + 2 * kGuard) != 0) return nullptr;
  std::memset(memory, 0xff, bytes + 2 * kGuard);
  auto* begin = static_cast<std::byte*>(memory) + kGuard;
  sanitizer::mark_uninitialised(begin - kGuard, kGuard);
  sanitizer::mark_uninitialised(begin + bytes, kGuard);
  return begin;
}

void give_back(void* memory, std::size_t bytes) {
  sanitizer::permit(memory, bytes);
  // A kernel that still reads there finds NaN.
  std::memset(memory, 0xff, bytes);
  std::free(static_cast<std::byte*>(memory) - kGuard);
}

// The first byte of a guard that is not poison any more, which it is made again; null when all are.
const std::byte* damaged(std::byte* guard) {
  // NOTE: whole words first, since all guards are looked at after every kernel.
  std::uint64_t words[kGuard / 8 + 1], common = ~std::uint64_t{0};
  std::memcpy(words, guard, kGuard);
  for (std::size_t i = 0; i < kGuard / 8; ++i) common &= words[i];
  if (common == ~std::uint64_t{0}) return nullptr;
  for (std::byte* byte = guard; byte < guard + kGuard; ++byte) {
    if (*byte == kPoison) continue;
    std::fill(byte, guard + kGuard, kPoison);
    return byte;
  }
  return nullptr;
}

}  // namespace

bool is_device_memory(const void* pointer, std::size_t bytes) { return on_card().hold(pointer, bytes); }
bool is_pinned_memory(const void* pointer) { return pinned().hold(pointer, 1); }

std::string written_outside_allocations() {
  std::string story;
  for (const auto& [begin, bytes] : on_card().all()) {
    const std::byte *before = damaged(begin - kGuard), *behind = damaged(begin + bytes);
    if (!before && !behind) continue;
    story = "the kernel wrote at byte " + std::to_string((before ? before : behind) - begin) + " of an allocation of " + std::to_string(bytes) +
            " bytes; a build with AddressSanitizer names the line";
  }
  return story;
}

OnTheCard::OnTheCard() {
  if (depth_on_the_card++ == 0) {
    for (const auto& [begin, bytes] : on_card().all()) sanitizer::permit(begin, bytes);
  }
}
OnTheCard::~OnTheCard() {
  if (--depth_on_the_card == 0) {
    for (const auto& [begin, bytes] : on_card().all()) sanitizer::forbid(begin, bytes);
  }
}

namespace {

// Which sides of a copy must lie on the card; null when they do, else what is wrong.
const char* why_wrong(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool to_card = is_device_memory(to), from_card = is_device_memory(from);
  switch (kind) {
    case cudaMemcpyHostToDevice:
      if (!to_card) return "the destination is not memory of the card";
      if (from_card) return "the source is memory of the card";
      break;
    case cudaMemcpyDeviceToHost:
      if (to_card) return "the destination is memory of the card";
      if (!from_card) return "the source is not memory of the card";
      break;
    case cudaMemcpyDeviceToDevice:
      if (!to_card || !from_card) return "both sides must be memory of the card";
      break;
    default: break;
  }
  if (to_card && !is_device_memory(to, bytes)) return "the destination is smaller than what is copied";
  if (from_card && !is_device_memory(from, bytes)) return "the source is smaller than what is copied";
  return nullptr;
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream, const char* function) {
  if (bytes == 0) return cudaSuccess;
  if (const char* wrong = why_wrong(to, from, bytes, kind)) return failed(cudaErrorInvalidValue, std::string(function) + ": " + wrong);
  const bool to_host = !is_device_memory(to), from_host = !is_device_memory(from);
  const bool is_late = options().deferred_streams && !is_capturing(stream);

  // What comes from pageable memory is taken now, as the driver does it; page-locked memory is read when the stream comes to it.
  // NOTE: for ThreadSanitizer always, since the host may write there again at once.
  if (from_host && (is_late || (sanitizer::kSeesRaces && !is_capturing(stream))) && !is_pinned_memory(from)) {
    const auto* begin = static_cast<const std::byte*>(from);
    return submit(stream, [to, taken = std::vector<std::byte>(begin, begin + bytes)] {
      const OnTheCard on_the_card;
      const AsStrand as_strand;
      std::memcpy(to, taken.data(), taken.size());
      sanitizer::mark_initialised(to, taken.size());
    });
  }
  // Until the stream has come to it, the host finds nothing it could use there.
  if (to_host && is_late) {
    std::memset(to, 0xff, bytes);
    sanitizer::forbid(to, bytes);
  }
  return submit(stream, [=] {
    const OnTheCard on_the_card;
    const AsStrand as_strand;
    if (to_host && is_late) sanitizer::permit(to, bytes);
    if (to_host && !from_host && options().is_strict) sanitizer::check_initialised(from, bytes);
    std::memcpy(to, from, bytes);
    // NOTE: host code is not compiled with MemorySanitizer's propagation, so what it wrote counts as a value.
    if (from_host || to_host) sanitizer::mark_initialised(to, bytes);
  });
}

}  // namespace

}  // namespace isda::emulator

using namespace isda::emulator;

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  SIMT_API_LOCK;
  if (const cudaError_t error = refuse_while_capturing("cudaMalloc")) return error;
  *pointer = nullptr;
  if (on_card().sum() + bytes > options().device_bytes) return failed(cudaErrorMemoryAllocation, "cudaMalloc: the emulated card is full");
  void* memory = take(bytes);
  if (!memory) return failed(cudaErrorMemoryAllocation, "cudaMalloc: the host has no memory left for the emulated card");
  sanitizer::mark_uninitialised(memory, bytes);
  if (depth_on_the_card == 0) sanitizer::forbid(memory, bytes);
  on_card().add(memory, bytes);
  *pointer = memory;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  SIMT_API_LOCK;
  if (!pointer) return cudaSuccess;
  if (const cudaError_t error = refuse_while_capturing("cudaFree")) return error;
  drain_all_streams();
  std::size_t bytes = 0;
  if (!on_card().remove(pointer, bytes)) return failed(cudaErrorInvalidValue, "cudaFree: the pointer was not allocated on the card, or freed before");
  give_back(pointer, bytes);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  SIMT_API_LOCK;
  if (const cudaError_t error = refuse_while_capturing("cudaMallocHost")) return error;
  *pointer = take(bytes);
  if (!*pointer) return failed(cudaErrorMemoryAllocation);
  pinned().add(*pointer, bytes);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  SIMT_API_LOCK;
  if (!pointer) return cudaSuccess;
  drain_all_streams();
  std::size_t bytes = 0;
  if (!pinned().remove(pointer, bytes)) return failed(cudaErrorInvalidValue, "cudaFreeHost: the pointer is not page-locked memory");
  give_back(pointer, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  SIMT_API_LOCK;
  *total = options().device_bytes;
  *free_bytes = *total - std::min(*total, on_card().sum());
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  SIMT_API_LOCK;
  return copy(to, from, bytes, kind, stream, "cudaMemcpyAsync");
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  SIMT_API_LOCK;
  if (const cudaError_t error = refuse_while_capturing("cudaMemcpy")) return error;
  if (const cudaError_t error = copy(to, from, bytes, kind, nullptr, "cudaMemcpy")) return error;
  return cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  SIMT_API_LOCK;
  if (!is_device_memory(pointer, bytes)) return failed(cudaErrorInvalidValue, "cudaMemsetAsync: the range is not memory of the card");
  return submit(stream, [=] {
    const OnTheCard on_the_card;
    const AsStrand as_strand;
    std::memset(pointer, value, bytes);
    sanitizer::mark_initialised(pointer, bytes);
  });
}

}  // extern "C"
