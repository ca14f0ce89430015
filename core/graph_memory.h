// SPDX-License-Identifier: Apache-2.0
// Memory of the card that a recorded graph keeps for itself.
//
//   GraphMemory memory;
//   {
//     const GraphMemory::Scope scope(memory);
//     step();                              // as usual: takes from the driver what it needs
//     cuda::Graph graph(stream);           // the same once more, recorded: finds all of it free again
//     step();
//     graph.finish();
//   }
//   graph.launch(stream);                  // writes to that memory, which nobody else was given meanwhile
//
// Tensors and scratch memory that the calling thread takes while a scope lives come from the graph's memory and return to it alone. Must outlive the graph.
#pragma once
#include "core/memory_pool.h"
#include "kernels/common/context.h"

namespace isda {

class GraphMemory {
 public:
  GraphMemory() : owner_(memory_pool(Device::cuda).add_owner()) {}
  ~GraphMemory() { memory_pool(Device::cuda).remove_owner(owner_); }
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;

  class Scope {
   public:
    explicit Scope(GraphMemory& memory);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const MemoryOwner outer_;
    const Context::ScratchScope scratch_, branch_scratch_;
  };

  // For whom the calling thread takes memory.
  static MemoryOwner owner_of_thread();

 private:
  const MemoryOwner owner_;
  Arena scratch_{Device::cuda}, branch_scratch_{Device::cuda};
};

}  // namespace isda
