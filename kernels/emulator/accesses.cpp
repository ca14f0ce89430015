// SPDX-License-Identifier: Apache-2.0
#include "kernels/emulator/accesses.h"

#if defined(ISDA_EMULATOR_COUNTED)
#include <algorithm>
#include <bit>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "kernels/emulator/block.h"
#include "kernels/emulator/machine.h"

namespace isda::emulator::accesses {

namespace {

enum class Space : std::uint8_t { global, shared };

struct Access {
  const void* place;  // in the code
  std::uintptr_t address;
  std::uint32_t bytes;
  Space space;
  bool is_write;
};

// What one lane did since the last synchronisation, in order.
struct Lane {
  std::vector<Access> accesses;
  std::vector<const void*> steps;  // basic blocks entered
};

// NOTE: by block slot and rank; never destroyed, since hooks may run until the program ends.
std::vector<Lane>& lanes_of(const Block& block) {
  static auto* by_block = new std::unordered_map<const Block*, std::vector<Lane>>;
  auto& lanes = (*by_block)[&block];
  if (lanes.size() < block.size) lanes.resize(block.size);
  return lanes;
}

// The accesses of a warp's lanes that are one instruction: from one place, at the same turn of each lane.
struct Request {
  std::uint32_t count = 0;
  std::uintptr_t addresses[32];
  std::uint32_t bytes = 0;
  Space space{};
  bool is_write = false;
};

struct Turn {
  const void* place;
  std::uint32_t turn;
  bool operator==(const Turn&) const = default;
};
struct HashTurn {
  std::size_t operator()(const Turn& turn) const { return std::hash<const void*>()(turn.place) * 31 + turn.turn; }
};

// 32-byte sectors that the lanes touch together.
std::uint64_t sectors_of(const Request& request) {
  std::vector<std::uintptr_t> sectors;
  for (std::uint32_t i = 0; i < request.count; ++i) {
    for (std::uintptr_t sector = request.addresses[i] / 32; sector <= (request.addresses[i] + request.bytes - 1) / 32; ++sector) sectors.push_back(sector);
  }
  std::sort(sectors.begin(), sectors.end());
  return static_cast<std::uint64_t>(std::unique(sectors.begin(), sectors.end()) - sectors.begin());
}

// The passes over the 32 banks beyond the fewest possible. Lanes [begin, end) are served together.
std::uint64_t conflicts_of(const Request& request, std::uint32_t begin, std::uint32_t end) {
  std::vector<std::uintptr_t> words;
  for (std::uint32_t i = begin; i < end; ++i) {
    for (std::uintptr_t word = request.addresses[i] / 4; word <= (request.addresses[i] + request.bytes - 1) / 4; ++word) words.push_back(word);
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  std::uint32_t in_bank[32] = {}, passes = 0;
  for (const auto word : words) passes = std::max(passes, ++in_bank[word % 32]);
  return passes > 0 ? passes - 1 : 0;
}

void count(const Request& request) {
  const std::uint64_t bytes = std::uint64_t{request.count} * request.bytes;
  if (request.space == Space::global) {
    (request.is_write ? counting->global_written_bytes : counting->global_read_bytes) += bytes;
    counting->global_requests += 1;
    counting->global_sectors += sectors_of(request);
    return;
  }
  (request.is_write ? counting->shared_written_bytes : counting->shared_read_bytes) += bytes;
  counting->shared_requests += 1;
  // A pass carries 128 bytes: wide accesses are served by halves or quarters of the warp.
  const std::uint32_t together = request.bytes <= 4 ? 32 : request.bytes <= 8 ? 16 : 8;
  for (std::uint32_t begin = 0; begin < request.count; begin += together) {
    counting->shared_conflicts += conflicts_of(request, begin, std::min(begin + together, request.count));
  }
}

void flush_warp(Block& block, unsigned warp) {
  std::unordered_map<Turn, Request, HashTurn> requests;
  std::unordered_map<Turn, unsigned, HashTurn> steps;
  std::unordered_map<const void*, std::uint32_t> turns;
  unsigned running = 0;
  auto& lanes = lanes_of(block);
  for (unsigned rank = 32 * warp; rank < std::min(32 * warp + 32, block.size); ++rank) {
    Lane& lane = lanes[rank];
    running += !lane.steps.empty();
    turns.clear();
    for (const Access& access : lane.accesses) {
      Request& request = requests[{access.place, turns[access.place]++}];
      request.addresses[request.count++] = access.address;
      request.bytes = access.bytes;
      request.space = access.space;
      request.is_write = access.is_write;
    }
    turns.clear();
    for (const void* step : lane.steps) ++steps[{step, turns[step]++}];
    lane.accesses.clear();
    lane.steps.clear();
  }
  for (const auto& [turn, request] : requests) count(request);
  counting->steps += steps.size();
  for (const auto& [turn, count] : steps) counting->divergent_steps += count < running;
}

void record(const void* address, std::uint32_t bytes, bool is_write, const void* place) {
  // NOTE: host code of the same file is instrumented too; no thread runs then.
  if (!current) return;
  const bool is_shared = current->block->shared.is_inside(address);
  if (!is_shared && !is_device_memory(address, bytes)) return;  // a thread's own: registers or its stack
  lanes_of(*current->block)[current->rank].accesses.push_back(
      {place, reinterpret_cast<std::uintptr_t>(address), bytes, is_shared ? Space::shared : Space::global, is_write});
}

void enter_step(const void* place) {
  if (current) lanes_of(*current->block)[current->rank].steps.push_back(place);
}

}  // namespace

// NOTE: the line tells apart the asynchronous copies of a kernel, whose accesses are made in one place of the emulator.
void read(const void* begin, unsigned bytes, const Location& where) {
  if (bytes) record(begin, bytes, false, where.file + where.line);
}
void write(const void* begin, unsigned bytes, const Location& where) { record(begin, bytes, true, where.file + where.line + 0x10000); }

void synchronise(Block& block) {
  for (unsigned warp = 0; warp < block.warps(); ++warp) flush_warp(block, warp);
}
void synchronise_warp(Block& block, unsigned warp) { flush_warp(block, warp); }
void end_block(Block& block) { synchronise(block); }

}  // namespace isda::emulator::accesses

// ---- what code compiled with -fsanitize=thread -fsanitize-coverage=trace-pc calls ----

using isda::emulator::accesses::enter_step;
using isda::emulator::accesses::record;

#define SIMT_HOOKS(bytes)                                                                                          \
  void __tsan_read##bytes(void* address) { record(address, bytes, false, __builtin_return_address(0)); }           \
  void __tsan_write##bytes(void* address) { record(address, bytes, true, __builtin_return_address(0)); }           \
  void __tsan_unaligned_read##bytes(void* address) { record(address, bytes, false, __builtin_return_address(0)); } \
  void __tsan_unaligned_write##bytes(void* address) { record(address, bytes, true, __builtin_return_address(0)); }

extern "C" {
SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)
void __tsan_read_range(void* address, unsigned long bytes) { record(address, static_cast<std::uint32_t>(bytes), false, __builtin_return_address(0)); }
void __tsan_write_range(void* address, unsigned long bytes) { record(address, static_cast<std::uint32_t>(bytes), true, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
void __sanitizer_cov_trace_pc() { enter_step(__builtin_return_address(0)); }

// Atomics: of a kernel an access each. NOTE: only the forms that are there; another one does not link.
std::uint32_t __tsan_atomic32_fetch_add(volatile std::uint32_t* address, std::uint32_t value, int) {
  record(const_cast<std::uint32_t*>(address), 4, true, __builtin_return_address(0));
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
std::uint32_t __tsan_atomic32_exchange(volatile std::uint32_t* address, std::uint32_t value, int) {
  record(const_cast<std::uint32_t*>(address), 4, true, __builtin_return_address(0));
  return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}
std::uint32_t __tsan_atomic32_load(const volatile std::uint32_t* address, int) {
  record(const_cast<std::uint32_t*>(address), 4, false, __builtin_return_address(0));
  return __atomic_load_n(address, __ATOMIC_RELAXED);
}
bool __tsan_atomic32_compare_exchange_strong(volatile std::uint32_t* address, std::uint32_t* expected, std::uint32_t value, int, int) {
  record(const_cast<std::uint32_t*>(address), 4, true, __builtin_return_address(0));
  return __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
bool __tsan_atomic32_compare_exchange_weak(volatile std::uint32_t* address, std::uint32_t* expected, std::uint32_t value, int, int) {
  return __tsan_atomic32_compare_exchange_strong(address, expected, value, 0, 0);
}
// Host code of the same files.
void __tsan_atomic64_store(volatile std::uint64_t* address, std::uint64_t value, int) { __atomic_store_n(address, value, __ATOMIC_SEQ_CST); }
std::uint64_t __tsan_atomic64_load(const volatile std::uint64_t* address, int) { return __atomic_load_n(address, __ATOMIC_SEQ_CST); }
std::uint8_t __tsan_atomic8_load(const volatile std::uint8_t* address, int) { return __atomic_load_n(address, __ATOMIC_ACQUIRE); }
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) { return __builtin_memcpy(to, from, bytes); }
void* __tsan_memset(void* to, int value, unsigned long bytes) { return __builtin_memset(to, value, bytes); }
}
#endif
