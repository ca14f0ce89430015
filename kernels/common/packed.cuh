// SPDX-License-Identifier: Apache-2.0
// Sixteen bytes at a time: what a thread should load and store where a kernel streams. Arithmetic is in f32.
#pragma once
#include <cstring>
#include <initializer_list>

#include "kernels/common/cuda.cuh"
#include "kernels/common/view.h"

namespace isda {

// Calls body<T>() with the type that kernels compute with: float, or __nv_bfloat16, whose bits are those of isda::bf16.
template <class Body>
decltype(auto) dispatch_cuda(const char* operation, DType type, Body&& body) {
  switch (type) {
    case DType::f32: return body.template operator()<float>();
    case DType::bf16: return body.template operator()<__nv_bfloat16>();
    default: fail("[{}] the cuda device computes in f32 and bf16, got {}; use --device reference for f64", operation, name_of(type));
  }
}

// The elements of a view as a kernel's type; null when the view was not given.
template <class T>
const T* elements(const ConstView& view) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return reinterpret_cast<const T*>(view.as<bf16>());
  else
    return view.as<T>();
}
template <class T>
T* elements(const View& view) {
  return const_cast<T*>(elements<T>(static_cast<const ConstView&>(view)));
}

// Whether all of these begin at a multiple of 16 bytes; what was not given does.
inline bool are_aligned(std::initializer_list<ConstView> views) {
  for (const ConstView& view : views) {
    if (reinterpret_cast<std::uintptr_t>(view.data()) % 16 != 0) return false;
  }
  return true;
}

// Elements of T in 16 bytes: 4 of f32, 8 of bf16.
template <class T>
inline constexpr int kPacked = 16 / static_cast<int>(sizeof(T));

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
template <class T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return __float2bfloat16_rn(value);
}

// `count` elements as they lie in memory. NOTE: as words, since the compiler keeps every member in a register of its own, a single bf16 too.
template <class T, int count = kPacked<T>>
struct alignas(count * sizeof(T)) Packed {
  using Word = std::conditional_t<count * sizeof(T) == 2, std::uint16_t, std::uint32_t>;
  Word words[count * sizeof(T) / sizeof(Word)];
};

template <int count, class T>
__device__ __forceinline__ void unpack(const Packed<T, count>& packed, float (&values)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) {
    if constexpr (sizeof(T) == 4)
      values[i] = __uint_as_float(packed.words[i]);
    else
      // NOTE: a bf16 is the upper half of an f32.
      values[i] = __uint_as_float(i % 2 == 0 ? std::uint32_t{packed.words[i / 2]} << 16 : packed.words[i / 2] & 0xffff0000u);
  }
}

template <class T, int count>
__device__ __forceinline__ Packed<T, count> pack(const float (&values)[count]) {
  T elements[count];
#pragma unroll
  for (int i = 0; i < count; ++i) elements[i] = from_float<T>(values[i]);
  Packed<T, count> packed;
  std::memcpy(&packed, elements, sizeof packed);
  return packed;
}

// One access of the whole value, which is aligned to its size. NOTE: as C++, copying a struct may become an access a member; memcpy stays one, as on the
// card, and needs no alignment, so that is checked.
#if defined(__CUDACC__)
template <class Value>
__device__ __forceinline__ Value load_whole(const Value* from) {
  return *from;
}
template <class Value>
__device__ __forceinline__ void store_whole(Value* to, const Value& value) {
  *to = value;
}
#else
inline void check_alignment(const void* address, std::size_t alignment, const emulator::Location& where) {
  if (reinterpret_cast<std::uintptr_t>(address) % alignment != 0) emulator::fail("an access of a whole packet that is not aligned to its size", where);
}
template <class Value>
Value load_whole(const Value* from SIMT_CALLER) {
  check_alignment(from, alignof(Value), where);
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class Value>
void store_whole(Value* to, const Value& value SIMT_CALLER) {
  check_alignment(to, alignof(Value), where);
  std::memcpy(to, &value, sizeof value);
}
#endif

// One load of count * sizeof(T) bytes, of 16 at a time where that is more; the address is a multiple of what is loaded at a time.
template <int count, class T>
__device__ __forceinline__ void load_packed(const T* from, float (&values)[count] SIMT_CALLER) {
  constexpr int at_a_time = count < kPacked<T> ? count : kPacked<T>;
#pragma unroll
  for (int first = 0; first < count; first += at_a_time) {
    float part[at_a_time];
    unpack(load_whole(reinterpret_cast<const Packed<T, at_a_time>*>(from + first) SIMT_AT_CALLER), part);
#pragma unroll
    for (int i = 0; i < at_a_time; ++i) values[first + i] = part[i];
  }
}

// The same as stores.
template <int count, class T>
__device__ __forceinline__ void store_packed(T* to, const float (&values)[count] SIMT_CALLER) {
  constexpr int at_a_time = count < kPacked<T> ? count : kPacked<T>;
#pragma unroll
  for (int first = 0; first < count; first += at_a_time) {
    float part[at_a_time];
#pragma unroll
    for (int i = 0; i < at_a_time; ++i) part[i] = values[first + i];
    store_whole(reinterpret_cast<Packed<T, at_a_time>*>(to + first), pack<T>(part) SIMT_AT_CALLER);
  }
}

}  // namespace isda
