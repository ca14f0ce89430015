// SPDX-License-Identifier: Apache-2.0
// Where an operation runs: the device, its stream or the number of threads, and scratch memory that is allocated once and reused.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/common/f32_products.h"

struct CUstream_st;  // a CUDA stream

namespace isda {

enum class Device : std::uint8_t { reference, cpu, cuda };

constexpr std::string_view name_of(Device device) {
  switch (device) {
    case Device::reference: return "reference";
    case Device::cpu: return "cpu";
    case Device::cuda: return "cuda";
  }
  return "?";
}

// A stack of temporary memory of a device. It grows while the shapes are new to it; afterwards taking is a pointer increment.
// NOTE: on the card, what is given back is taken again by later work of the same stream, which comes after; so nobody waits.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;

  explicit Arena(Device device = Device::cpu) : device_(device) {}

  std::byte* take(std::size_t bytes);
  std::size_t used() const { return used_; }
  void release_to(std::size_t used);
  std::size_t capacity() const;

  // Gives memory of a device back.
  struct Free {
    Device device;
    void operator()(std::byte* pointer) const;
  };

 private:
  struct Block {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t begin;  // the value of used_ at the block's first byte
    std::size_t capacity;
  };

  void add_block(std::size_t bytes);

  Device device_;
  std::vector<Block> blocks_;
  std::size_t used_ = 0;
};

// Temporaries of one operation, given back when it goes out of scope.
class Scratch {
 public:
  explicit Scratch(Arena& arena) : arena_(arena), mark_(arena.used()) {}
  ~Scratch() { arena_.release_to(mark_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // `count` elements, aligned to 64 bytes, not initialised.
  template <class T>
  T* take(std::int64_t count) {
    return reinterpret_cast<T*>(arena_.take(static_cast<std::size_t>(count) * sizeof(T)));
  }

 private:
  Arena& arena_;
  std::size_t mark_;
};

// One per thread that launches operations: a context is not to be shared between threads.
class Context {
 public:
  // threads: how many threads an operation may use on the cpu device; 0 = as many as OpenMP offers.
  // On the cuda device the context makes a stream of its own; throws Error where no card can be used.
  explicit Context(Device device, int threads = 0);

  Device device() const { return device_; }
  int threads() const { return threads_; }
  // How operations on the cuda device that are enqueued from now on multiply f32; others have one way.
  F32Products f32_products() const { return f32_products_; }
  void set_f32_products(F32Products products) { f32_products_ = products; }
  // Where operations on the cuda device are enqueued; null on others.
  CUstream_st* stream() const { return stream_.get(); }
  // Waits until everything enqueued is done, and throws Error when some of it failed; on other devices nothing is ever waiting.
  void synchronise() const;
  Scratch scratch() const { return Scratch(*scratch_arena_); }
  // On the cuda device: `count` counters that are 0, and that kernels leave at 0 (kernels/common/last_block.cuh). NOTE: the same ones for every operation,
  // since those of a stream come one after the other. They stay where they are as long as the context, for graphs that were recorded with them.
  unsigned* tickets(std::int64_t count) const;
  const Arena& arena() const { return *arena_; }

  // While one lives, temporaries come from another arena: that of a graph, which goes on using what it was recorded with.
  class ScratchScope {
   public:
    ScratchScope(const Context& context, Arena& arena) : context_(context), outer_(context.scratch_arena_) { context.scratch_arena_ = &arena; }
    ~ScratchScope() { context_.scratch_arena_ = outer_; }
    ScratchScope(const ScratchScope&) = delete;
    ScratchScope& operator=(const ScratchScope&) = delete;

   private:
    const Context& context_;
    Arena* const outer_;
  };

 private:
  struct DestroyStream {
    void operator()(CUstream_st* stream) const;
  };

  Device device_;
  int threads_;
  F32Products f32_products_ = F32Products::three_tf32;
  std::unique_ptr<CUstream_st, DestroyStream> stream_;
  std::unique_ptr<Arena> arena_;
  mutable Arena* scratch_arena_ = arena_.get();
  mutable std::vector<std::unique_ptr<std::byte, Arena::Free>> tickets_;  // the last ones are the most, and in use
  mutable std::int64_t ticket_count_ = 0;
};

}  // namespace isda
