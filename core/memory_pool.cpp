// SPDX-License-Identifier: Apache-2.0
#include "core/memory_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/common/error.h"

namespace isda {

namespace {

// NOTE: memory of the host has no stream, and then no driver may be asked.
bool is_recorded(cuda::Stream stream) { return stream && cuda::is_capturing(stream); }

}  // namespace

std::byte* MemoryPool::take(std::size_t bytes, cuda::Stream stream, MemoryOwner owner) {
  const std::lock_guard lock(mutex_);
  if (stream) streams_.insert(stream);
  std::byte* block = find_free(free_[{owner, bytes}], stream);
  if (!block) {
    require(!is_recorded(stream),
            "[memory] {} bytes are allocated while a graph is recorded, and no such block is free: run the step once before it is recorded", bytes);
    block = ask_source(bytes);
    blocks_[block] = bytes;
    statistics_.reserved += bytes;
    statistics_.system_allocations += 1;
  }
  statistics_.in_use += bytes;
  statistics_.peak_in_use = std::max(statistics_.peak_in_use, statistics_.in_use);
  return block;
}

std::byte* MemoryPool::find_free(std::vector<FreeBlock>& blocks, cuda::Stream stream) {
  // The youngest that needs no wait, else the oldest that can be waited for.
  const auto youngest = std::find_if(blocks.rbegin(), blocks.rend(), [&](const FreeBlock& block) { return !block.stream || block.stream == stream; });
  auto found = youngest == blocks.rend() ? blocks.end() : std::prev(youngest.base());
  if (found == blocks.end()) {
    found = std::find_if(blocks.begin(), blocks.end(), [](const FreeBlock& block) { return block.used != nullptr; });
    // NOTE: a graph cannot wait for what happens outside of it.
    if (found == blocks.end() || is_recorded(stream)) return nullptr;
    found->used->hold(stream);
  }
  if (found->used) spare_events_.push_back(std::move(found->used));
  std::byte* memory = found->memory;
  blocks.erase(found);
  return memory;
}

void MemoryPool::give_back(std::byte* block, std::size_t bytes, cuda::Stream taken_on, cuda::Stream stream, MemoryOwner owner) noexcept {
  const std::lock_guard lock(mutex_);
  statistics_.in_use -= bytes;
  FreeBlock free{block, streams_.contains(taken_on) ? taken_on : nullptr, nullptr};
  try {
    mark_last_use(free, stream);
  } catch (const Error&) {
    // NOTE: a kernel failed earlier, which every call tells from then on; there is no later work that the block could be too early for.
  }
  free_[{owners_.contains(owner) ? owner : kAnybody, bytes}].push_back(std::move(free));
}

MemoryOwner MemoryPool::add_owner() {
  const std::lock_guard lock(mutex_);
  return *owners_.insert(++last_owner_).first;
}

void MemoryPool::remove_owner(MemoryOwner owner) noexcept {
  const std::lock_guard lock(mutex_);
  owners_.erase(owner);
  for (auto& [key, blocks] : free_) {
    if (key.first != owner) continue;
    auto& anybodys = free_[{kAnybody, key.second}];
    std::move(blocks.begin(), blocks.end(), std::back_inserter(anybodys));
    blocks.clear();
  }
}

void MemoryPool::mark_last_use(FreeBlock& block, cuda::Stream stream) {
  if (stream && stream != block.stream) {
    // It wandered to another thread. That one's stream comes after the one it was taken for, from here on, and the block follows it.
    if (is_recorded(stream) || is_recorded(block.stream)) return;
    streams_.insert(stream);
    if (block.stream) {
      auto event = record(block.stream);
      event->hold(stream);
      spare_events_.push_back(std::move(event));
    }
    block.stream = stream;
  }
  if (block.stream && streams_.size() > 1 && !is_recorded(block.stream)) block.used = record(block.stream);
}

std::unique_ptr<cuda::Event> MemoryPool::record(cuda::Stream stream) {
  if (spare_events_.empty()) spare_events_.push_back(std::make_unique<cuda::Event>(/*is_timed=*/false));
  auto event = std::move(spare_events_.back());
  spare_events_.pop_back();
  event->record(stream);
  return event;
}

void MemoryPool::forget(cuda::Stream stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
  for (auto& [key, blocks] : free_) {
    for (FreeBlock& block : blocks) {
      if (block.stream != stream) continue;
      block.stream = nullptr;
      if (block.used) spare_events_.push_back(std::move(block.used));
    }
  }
}

void MemoryPool::release_free() {
  const std::lock_guard lock(mutex_);
  give_free_to_source();
}

bool MemoryPool::holds(const void* memory) {
  const std::lock_guard lock(mutex_);
  const auto* address = static_cast<const std::byte*>(memory);
  const auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return false;
  const auto& [begin, bytes] = *std::prev(after);
  return address < begin + bytes;
}

MemoryStatistics MemoryPool::statistics() {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

// Before giving up, what is free in other classes goes back, and the source is asked again.
std::byte* MemoryPool::ask_source(std::size_t bytes) {
  if (std::byte* block = source_->take(bytes)) return block;
  give_free_to_source();
  return source_->take_or_fail(bytes, statistics_);
}

// NOTE: but not what a graph has, which goes on using it.
void MemoryPool::give_free_to_source() {
  for (auto& [key, blocks] : free_) {
    const auto [owner, bytes] = key;
    if (owner != kAnybody) continue;
    for (FreeBlock& block : blocks) {
      if (block.used) spare_events_.push_back(std::move(block.used));
      blocks_.erase(block.memory);
      source_->give_back(block.memory);
    }
    statistics_.reserved -= bytes * blocks.size();
    blocks.clear();
  }
}

}  // namespace isda
