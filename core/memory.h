// SPDX-License-Identifier: Apache-2.0
// A caching allocator: memory that was given back is handed out again, so that a warm training step asks the system for nothing.
//
// Sizes are rounded up to classes (an eighth of a power of two apart, at least 256 bytes), each with a free list; a block serves
// requests of its class only. Safe to use from several threads. What is free can be returned to the system with release_free_memory().
//
// There is a pool for the host and one for the card, whose blocks follow the order of its streams (core/memory_pool.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/common/context.h"

namespace isda {

// Reference-counted memory of a device, not initialised; aligned to 64 bytes, on the card to 256.
using Storage = std::shared_ptr<std::byte>;

// NOTE: memory of the card is for the calling thread's stream (context_of(Device::cuda)) and may come before that stream is done with its
// last use. Whoever hands it to another thread makes sure that this thread's stream comes later.
// While that stream is recorded for a graph the driver cannot be asked: then a block must be free, or this is an Error.
Storage allocate(std::size_t bytes, Device device);

struct MemoryStatistics {
  std::size_t in_use = 0;                // bytes handed out, rounded to size classes
  std::size_t peak_in_use = 0;           // the largest in_use so far
  std::size_t reserved = 0;              // bytes held from the system: in use and free
  std::uint64_t system_allocations = 0;  // how often the system, or the card's driver, was asked
};
MemoryStatistics memory_statistics(Device device = Device::cpu);

// Returns all free blocks to the system or the driver.
void release_free_memory(Device device = Device::cpu);

// Whether this address lies in the card's pool: what is there may not be touched by the host.
bool is_on_card(const void* memory);

}  // namespace isda
