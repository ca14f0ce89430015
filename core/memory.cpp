// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <algorithm>
#include <bit>
#include <new>

#include "core/graph_memory.h"
#include "core/memory_pool.h"
#include "core/thread_context.h"
#include "kernels/common/error.h"

namespace isda {

namespace {

constexpr std::size_t kSmallest = 256;

// The next size class: powers of two, each divided into eight steps, so that at most an eighth is wasted.
std::size_t size_class(std::size_t bytes) {
  bytes = std::max(bytes, kSmallest);
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

class HostMemory : public MemorySource {
 public:
  std::byte* take(std::size_t bytes) override { return static_cast<std::byte*>(::operator new(bytes, kAlignment, std::nothrow)); }
  std::byte* take_or_fail(std::size_t bytes, const MemoryStatistics& statistics) override {
    std::byte* block = take(bytes);
    require(block != nullptr, "[memory] the system has no {} bytes more; {} are in use. Lower --batch-size or choose a smaller --model", bytes,
            statistics.in_use);
    return block;
  }
  void give_back(std::byte* block) noexcept override { ::operator delete(block, kAlignment); }

 private:
  static constexpr std::align_val_t kAlignment{64};
};

class CardMemory : public MemorySource {
 public:
  std::byte* take(std::size_t bytes) override { return static_cast<std::byte*>(cuda::try_allocate(bytes)); }
  std::byte* take_or_fail(std::size_t bytes, const MemoryStatistics&) override {
    std::byte* block = take(bytes);
    if (!block) cuda::fail_full(bytes);
    return block;
  }
  void give_back(std::byte* block) noexcept override { cuda::release(block); }
};

}  // namespace

MemoryPool& memory_pool(Device device) {
  static auto* host = new MemoryPool(std::make_unique<HostMemory>());
  static auto* card = [] {
    // NOTE: the scratch memory of contexts is taken from the driver beside the pool.
    cuda::set_reclaim([] { memory_pool(Device::cuda).release_free(); });
    return new MemoryPool(std::make_unique<CardMemory>());
  }();
  return device == Device::cuda ? *card : *host;
}

Storage allocate(std::size_t bytes, Device device) {
  const std::size_t rounded = size_class(bytes);
  if (device != Device::cuda)
    return Storage(memory_pool(device).take(rounded, nullptr),
                   [rounded](std::byte* block) { memory_pool(Device::cpu).give_back(block, rounded, nullptr, nullptr); });
  const cuda::Stream stream = context_of(Device::cuda).stream();
  const MemoryOwner owner = GraphMemory::owner_of_thread();
  return Storage(memory_pool(device).take(rounded, stream, owner),
                 [rounded, stream, owner](std::byte* block) { memory_pool(Device::cuda).give_back(block, rounded, stream, stream_of_thread(), owner); });
}

MemoryStatistics memory_statistics(Device device) { return memory_pool(device).statistics(); }

void release_free_memory(Device device) {
  const cuda::Stream stream = device == Device::cuda ? stream_of_thread() : nullptr;
  require(!stream || !cuda::is_capturing(stream), "[memory] memory of the card is released while a graph is recorded: release it before or after");
  memory_pool(device).release_free();
}

bool is_on_card(const void* memory) { return memory_pool(Device::cuda).holds(memory); }

}  // namespace isda
