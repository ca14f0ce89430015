// SPDX-License-Identifier: Apache-2.0
// Where an operation runs: the device, the number of threads, and scratch memory that is allocated once and reused.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

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

// A stack of temporary memory. It grows while the shapes are new to it; afterwards taking is a pointer increment.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;

  std::byte* take(std::size_t bytes);
  std::size_t used() const { return used_; }
  void release_to(std::size_t used);
  std::size_t capacity() const;

 private:
  struct Free {
    void operator()(std::byte* pointer) const;
  };
  struct Block {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t begin;  // the value of used_ at the block's first byte
    std::size_t capacity;
  };

  void add_block(std::size_t bytes);

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
  explicit Context(Device device, int threads = 0);

  Device device() const { return device_; }
  int threads() const { return threads_; }
  Scratch scratch() const { return Scratch(*arena_); }
  const Arena& arena() const { return *arena_; }

 private:
  Device device_;
  int threads_;
  std::unique_ptr<Arena> arena_;
};

}  // namespace isda
