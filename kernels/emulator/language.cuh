// SPDX-License-Identifier: Apache-2.0
// CUDA C++ as ordinary C++: its keywords, its built-in variables, its barriers, shuffles, votes, atomics and device mathematics.
//
// Types, enumerations and prototypes come from the toolkit's own headers, so that they cannot drift; only keywords and device functions are
// replaced here. What a kernel uses and this file lacks does not compile: add it here, and a line to tests/emulator/conformance.cu.
//   CUDA C++ Programming Guide 13: 10 (language extensions), 11.5-11.8 (warp functions)
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numbers>
#include <type_traits>

#include "kernels/emulator/device.h"

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __managed__
#undef __grid_constant__
#undef __cluster_dims__
#undef __launch_bounds__
#undef __forceinline__
#undef __restrict__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __restrict__ __restrict
// Shared memory is declared with SIMT_SHARED, so that every array has forbidden bytes around it.
#define __shared__ SIMT_SHARED_must_be_used_instead_of___shared__

// A collective function reads the operands of other lanes, which have waited for it: no race.
#define SIMT_MEETING __attribute__((no_sanitize("thread")))

// The place of the call, for functions of kernels/common/ that others call.
#define SIMT_CALLER , SIMT_WHERE
#define SIMT_AT_CALLER , where
#define SIMT_CALLER_ALONE where

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

// ---- Shared memory ----

// SIMT_SHARED(tile, float[32][33]);   an array of the block, at first poison (NaN)
#define SIMT_SHARED(name, ...)                                                                                                                         \
  auto& name = *static_cast<std::type_identity_t<__VA_ARGS__>*>([](const ::isda::emulator::Location& where_) -> void* {                                \
    static const int variable = ::isda::emulator::next_shared_variable();                                                                              \
    return ::isda::emulator::shared_variable(variable, sizeof(std::type_identity_t<__VA_ARGS__>), alignof(std::type_identity_t<__VA_ARGS__>), where_); \
  }(SIMT_HERE))

// Pieces of the dynamic shared memory that the launch asked for:   SharedCarver carver;  float* a = carver.take<float>(count);
class SharedCarver {
 public:
  template <class T>
  T* take(unsigned count, unsigned alignment = 16, SIMT_WHERE) {
    return static_cast<T*>(isda::emulator::carve(count * sizeof(T), alignment, where));
  }
};

// ---- Barriers ----

inline void __syncthreads(SIMT_WHERE) { isda::emulator::barrier(isda::emulator::Vote::count, false, where); }
inline int __syncthreads_count(int predicate, SIMT_WHERE) { return isda::emulator::barrier(isda::emulator::Vote::count, predicate != 0, where); }
inline int __syncthreads_and(int predicate, SIMT_WHERE) { return isda::emulator::barrier(isda::emulator::Vote::all, predicate != 0, where); }
inline int __syncthreads_or(int predicate, SIMT_WHERE) { return isda::emulator::barrier(isda::emulator::Vote::any, predicate != 0, where); }
inline void __syncwarp(unsigned mask = 0xffffffffu, SIMT_WHERE) {
  static constexpr isda::emulator::Collective kind{.name = "__syncwarp", .meet = nullptr, .orders_memory = true};
  isda::emulator::meet(mask, kind, nullptr, where);
}
inline unsigned __activemask() { return isda::emulator::running_lanes(); }

// ---- Shuffles ----

namespace isda::emulator {

enum class Shuffle { index, exclusive_or, down, up };

template <class T>
struct ShuffleOperand {
  T value, result;
  int argument, width;
};

// The lane that lane `lane` reads from, within its segment of `width` lanes.
constexpr int shuffle_source(Shuffle shuffle, int lane, int argument, int width) {
  const int first = lane & ~(width - 1), end = first + width;
  switch (shuffle) {
    case Shuffle::index: return first + (argument & (width - 1));
    case Shuffle::exclusive_or: return (lane ^ argument) < end ? lane ^ argument : lane;
    case Shuffle::down: return lane + argument < end ? lane + argument : lane;
    case Shuffle::up: return lane - argument >= first ? lane - argument : lane;
  }
  return lane;
}

template <class T, Shuffle shuffle>
SIMT_MEETING void meet_in_shuffle(void* const* operands, unsigned mask) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    auto& mine = *static_cast<ShuffleOperand<T>*>(operands[lane]);
    const int source = shuffle_source(shuffle, lane, mine.argument, mine.width);
    if (mask >> source & 1)
      mine.result = static_cast<ShuffleOperand<T>*>(operands[source])->value;
    else
      make_undefined(&mine.result, sizeof(T));
  }
}

template <class T, Shuffle shuffle>
T shuffled(const char* name, unsigned mask, T value, int argument, int width, const Location& where) {
  static const Collective kind{.name = name, .meet = &meet_in_shuffle<T, shuffle>};
  ShuffleOperand<T> operand{value, value, argument, width};
  meet(mask, kind, &operand, where);
  return operand.result;
}

}  // namespace isda::emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_WHERE) {
  return isda::emulator::shuffled<T, isda::emulator::Shuffle::index>("__shfl_sync", mask, value, source, width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, SIMT_WHERE) {
  return isda::emulator::shuffled<T, isda::emulator::Shuffle::exclusive_or>("__shfl_xor_sync", mask, value, lane_mask, width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_WHERE) {
  return isda::emulator::shuffled<T, isda::emulator::Shuffle::down>("__shfl_down_sync", mask, value, static_cast<int>(delta), width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_WHERE) {
  return isda::emulator::shuffled<T, isda::emulator::Shuffle::up>("__shfl_up_sync", mask, value, static_cast<int>(delta), width, where);
}

// ---- Votes and reductions of a warp ----

namespace isda::emulator {

struct VoteOperand {
  unsigned value, result;
};

// combine(accumulated, value of lane, lane) over the lanes of the mask; the first lane's accumulated is `start`.
template <class Combine>
unsigned voted(const char* name, unsigned mask, unsigned value, const Location& where) {
  static const Collective kind{.name = name, .meet = [](void* const* operands, unsigned lanes) SIMT_MEETING {
                                 unsigned result = Combine::start;
                                 for (unsigned lane = 0; lane < 32; ++lane) {
                                   if (lanes >> lane & 1) result = Combine::combine(result, static_cast<VoteOperand*>(operands[lane])->value, lane);
                                 }
                                 for (unsigned lane = 0; lane < 32; ++lane) {
                                   if (lanes >> lane & 1) static_cast<VoteOperand*>(operands[lane])->result = result;
                                 }
                               }};
  VoteOperand operand{value, 0};
  meet(mask, kind, &operand, where);
  return operand.result;
}

struct Ballot {
  static constexpr unsigned start = 0;
  SIMT_MEETING static unsigned combine(unsigned sum, unsigned value, unsigned lane) { return sum | (static_cast<unsigned>(value != 0) << lane); }
};
struct AnyOf {
  static constexpr unsigned start = 0;
  SIMT_MEETING static unsigned combine(unsigned sum, unsigned value, unsigned) { return sum | static_cast<unsigned>(value != 0); }
};
struct AllOf {
  static constexpr unsigned start = 1;
  SIMT_MEETING static unsigned combine(unsigned sum, unsigned value, unsigned) { return sum & static_cast<unsigned>(value != 0); }
};
struct SumOf {
  static constexpr unsigned start = 0;
  SIMT_MEETING static unsigned combine(unsigned sum, unsigned value, unsigned) { return sum + value; }
};
struct LargestOf {
  static constexpr unsigned start = 0;
  SIMT_MEETING static unsigned combine(unsigned sum, unsigned value, unsigned) { return value > sum ? value : sum; }
};

}  // namespace isda::emulator

inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_WHERE) {
  return isda::emulator::voted<isda::emulator::Ballot>("__ballot_sync", mask, static_cast<unsigned>(predicate), where);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_WHERE) {
  return static_cast<int>(isda::emulator::voted<isda::emulator::AnyOf>("__any_sync", mask, static_cast<unsigned>(predicate), where));
}
inline int __all_sync(unsigned mask, int predicate, SIMT_WHERE) {
  return static_cast<int>(isda::emulator::voted<isda::emulator::AllOf>("__all_sync", mask, static_cast<unsigned>(predicate), where));
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, SIMT_WHERE) {
  return isda::emulator::voted<isda::emulator::SumOf>("__reduce_add_sync", mask, value, where);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value, SIMT_WHERE) {
  return isda::emulator::voted<isda::emulator::LargestOf>("__reduce_max_sync", mask, value, where);
}

// ---- Atomics, fences, caches ----

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value, SIMT_WHERE) {
  if constexpr (std::is_floating_point_v<T>) isda::emulator::check_float_atomic(where);
  isda::emulator::yield();
  return std::atomic_ref<T>(*address).fetch_add(value, std::memory_order_relaxed);
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  isda::emulator::yield();
  return std::atomic_ref<T>(*address).exchange(value, std::memory_order_relaxed);
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  isda::emulator::yield();
  std::atomic_ref<T>(*address).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}
inline unsigned atomicInc(unsigned* address, unsigned last) {
  isda::emulator::yield();
  std::atomic_ref<unsigned> cell(*address);
  unsigned old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, old >= last ? 0 : old + 1, std::memory_order_relaxed)) {
  }
  return old;
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  isda::emulator::yield();
  std::atomic_ref<T> cell(*address);
  T old = cell.load(std::memory_order_relaxed);
  while (old < value && !cell.compare_exchange_weak(old, value, std::memory_order_relaxed)) {
  }
  return old;
}
inline void __threadfence() { isda::emulator::fence(false); }
inline void __threadfence_block() { isda::emulator::fence(true); }

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, const T& value) {
  *address = value;
}

// ---- Bits and mathematics ----

inline int __popc(unsigned value) { return std::popcount(value); }
inline int __clz(int value) { return std::countl_zero(static_cast<unsigned>(value)); }
inline int __ffs(int value) { return value ? std::countr_zero(static_cast<unsigned>(value)) + 1 : 0; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((std::uint64_t{a} * b) >> 32); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned value) { return std::bit_cast<float>(value); }

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
// sin and cos of pi x: multiples of pi are exact. remainder(x, 2) and differences from a half are exact, too.
inline float sinpif(float x) {
  const double r = std::remainder(static_cast<double>(x), 2.0);
  return static_cast<float>(std::sin(std::numbers::pi * (std::abs(r) > 0.5 ? std::copysign(1.0, r) - r : r)));
}
inline float cospif(float x) { return static_cast<float>(std::sin(std::numbers::pi * (0.5 - std::abs(std::remainder(static_cast<double>(x), 2.0))))); }
