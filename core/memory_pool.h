// SPDX-License-Identifier: Apache-2.0
// The cache behind allocate(): free blocks by size class, for any kind of memory.
//
// Work for the card is enqueued, and its memory is given back while that work is still to come. So a free block knows the stream that used it
// last, and is handed out again
//   to the same stream   at once: what that stream does with it comes after
//   to another stream    with the event that was recorded when it was given back, which that stream is made to wait for
// Events cost time, and most programs have one stream: they are recorded only from when a second stream takes memory. A block without an event
// stays with its stream until that is no more, or until the memory is needed elsewhere. Host memory is a pool without streams: all are null.
//
// Part of a pool can be set apart for a recorded graph (core/graph_memory.h): blocks that were taken for it return to it, and to nobody else.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "kernels/common/cuda_device.h"

namespace isda {

// Where a pool's memory comes from.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  // Null when there is no more.
  virtual std::byte* take(std::size_t bytes) = 0;
  // Memory whose last work may still be to come.
  virtual void give_back(std::byte* block) noexcept = 0;
  // The same after all that was free went back; throws Error when there is still no more.
  virtual std::byte* take_or_fail(std::size_t bytes, const MemoryStatistics& statistics) = 0;
};

// For whom a block is taken: for anybody, or for one graph's memory alone.
using MemoryOwner = std::uint64_t;
inline constexpr MemoryOwner kAnybody = 0;

class MemoryPool {
 public:
  explicit MemoryPool(std::unique_ptr<MemorySource> source) : source_(std::move(source)) {}

  // A block of this class for the stream.
  std::byte* take(std::size_t bytes, cuda::Stream stream, MemoryOwner owner = kAnybody);
  // taken_on: the stream the block was taken for; stream: that of the thread that gives it back, null where it has none.
  void give_back(std::byte* block, std::size_t bytes, cuda::Stream taken_on, cuda::Stream stream, MemoryOwner owner = kAnybody) noexcept;
  // A new owner, and its end: what it has, and what still returns to it, is then anybody's.
  MemoryOwner add_owner();
  void remove_owner(MemoryOwner owner) noexcept;
  // The stream has done all its work and is no more: its blocks are anyone's.
  void forget(cuda::Stream stream);
  // Gives what is free back to the source.
  void release_free();
  bool holds(const void* memory);
  MemoryStatistics statistics();

 private:
  struct FreeBlock {
    std::byte* memory;
    cuda::Stream stream;                // that used it last; null when it is anyone's
    std::unique_ptr<cuda::Event> used;  // when it was given back; null where none was recorded
  };

  // A free block for the stream, whose wait is enqueued if it needs one; null when there is none.
  std::byte* find_free(std::vector<FreeBlock>& blocks, cuda::Stream stream);
  std::byte* ask_source(std::size_t bytes);
  void give_free_to_source();
  // Which stream the block follows from now on, and since when.
  void mark_last_use(FreeBlock& block, cuda::Stream stream);
  std::unique_ptr<cuda::Event> record(cuda::Stream stream);

  const std::unique_ptr<MemorySource> source_;
  std::mutex mutex_;
  std::map<std::pair<MemoryOwner, std::size_t>, std::vector<FreeBlock>> free_;  // by size class
  std::set<MemoryOwner> owners_;
  MemoryOwner last_owner_ = kAnybody;
  std::map<const std::byte*, std::size_t> blocks_;  // all that came from the source, by address
  std::set<cuda::Stream> streams_;                  // that use this pool
  std::vector<std::unique_ptr<cuda::Event>> spare_events_;
  MemoryStatistics statistics_;
};

// The pool of a device. NOTE: never destroyed, since tensors with static lifetime may outlive any order of destruction.
MemoryPool& memory_pool(Device device);

}  // namespace isda
