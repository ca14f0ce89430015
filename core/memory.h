// SPDX-License-Identifier: Apache-2.0
// A caching allocator: memory that was given back is handed out again, so that a warm training step asks the system for nothing.
//
// Sizes are rounded up to classes (an eighth of a power of two apart, at least 256 bytes), each with a free list; a block serves
// requests of its class only. Safe to use from several threads. What is free can be returned to the system with release().
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/common/context.h"

namespace isda {

// Reference-counted memory of a device, aligned to 64 bytes, not initialised.
using Storage = std::shared_ptr<std::byte>;

Storage allocate(std::size_t bytes, Device device);

struct MemoryStatistics {
  std::size_t in_use = 0;                // bytes handed out, rounded to size classes
  std::size_t peak_in_use = 0;           // the largest in_use so far
  std::size_t reserved = 0;              // bytes held from the system: in use and free
  std::uint64_t system_allocations = 0;  // how often the system was asked
};
MemoryStatistics memory_statistics();

// Returns all free blocks to the system.
void release_free_memory();

}  // namespace isda
