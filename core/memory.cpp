// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "kernels/common/error.h"

namespace isda {

namespace {

constexpr std::size_t kSmallest = 256;
constexpr std::align_val_t kAlignment{64};

// The next size class: powers of two, each divided into eight steps, so that at most an eighth is wasted.
std::size_t size_class(std::size_t bytes) {
  bytes = std::max(bytes, kSmallest);
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class HostPool {
 public:
  std::byte* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::byte* block = nullptr;
    if (auto& blocks = free_[bytes]; !blocks.empty()) {
      block = blocks.back();
      blocks.pop_back();
    } else {
      block = ask_system(bytes);
      statistics_.reserved += bytes;
      statistics_.system_allocations += 1;
    }
    statistics_.in_use += bytes;
    statistics_.peak_in_use = std::max(statistics_.peak_in_use, statistics_.in_use);
    return block;
  }

  void give_back(std::byte* block, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    statistics_.in_use -= bytes;
    free_[bytes].push_back(block);
  }

  void release_free() {
    const std::lock_guard lock(mutex_);
    give_free_to_system();
  }

  MemoryStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  // Before giving up, what is free in other classes goes back, and the system is asked again.
  std::byte* ask_system(std::size_t bytes) {
    void* block = ::operator new(bytes, kAlignment, std::nothrow);
    if (!block) {
      give_free_to_system();
      block = ::operator new(bytes, kAlignment, std::nothrow);
    }
    require(block != nullptr, "[memory] the system has no {} bytes more; {} are in use. Lower --batch-size or choose a smaller --model", bytes,
            statistics_.in_use);
    return static_cast<std::byte*>(block);
  }

  void give_free_to_system() {
    for (auto& [bytes, blocks] : free_) {
      for (std::byte* block : blocks) ::operator delete(block, kAlignment);
      statistics_.reserved -= bytes * blocks.size();
      blocks.clear();
    }
  }

  std::mutex mutex_;
  std::unordered_map<std::size_t, std::vector<std::byte*>> free_;
  MemoryStatistics statistics_;
};

// NOTE: never destroyed, since tensors with static lifetime may outlive any order of destruction.
HostPool& host_pool() {
  static auto* pool = new HostPool;
  return *pool;
}

}  // namespace

Storage allocate(std::size_t bytes, Device device) {
  require(device != Device::cuda, "[memory] this build has no CUDA; run with --device cpu");
  const std::size_t rounded = size_class(bytes);
  std::byte* block = host_pool().take(rounded);
  return Storage(block, [rounded](std::byte* pointer) { host_pool().give_back(pointer, rounded); });
}

MemoryStatistics memory_statistics() { return host_pool().statistics(); }

void release_free_memory() { host_pool().release_free(); }

}  // namespace isda
