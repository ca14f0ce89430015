// SPDX-License-Identifier: Apache-2.0
#include "core/graph_memory.h"

#include <utility>

#include "core/thread_context.h"

namespace isda {

namespace {
constinit thread_local MemoryOwner owner_now = kAnybody;
}

MemoryOwner GraphMemory::owner_of_thread() { return owner_now; }

GraphMemory::Scope::Scope(GraphMemory& memory)
    : outer_(std::exchange(owner_now, memory.owner_)),
      scratch_(context_of(Device::cuda), memory.scratch_),
      branch_scratch_(branch_of_thread(), memory.branch_scratch_) {}

GraphMemory::Scope::~Scope() { owner_now = outer_; }

}  // namespace isda
