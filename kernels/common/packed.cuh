// SPDX-License-Identifier: Apache-2.0
// Sixteen bytes at a time: what a thread should load and store where a kernel streams. Arithmetic is in f32.
#pragma once
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

template <class T, int count = kPacked<T>>
struct alignas(count * sizeof(T)) Packed {
  T values[count];
};

template <int count, class T>
__device__ __forceinline__ void unpack(const Packed<T, count>& packed, float (&values)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = to_float(packed.values[i]);
}

// One access of the whole value. NOTE: as C++, copying a struct may become an access a member; memcpy stays one, as on the card.
template <class Value>
__device__ __forceinline__ Value load_whole(const Value* from) {
#if defined(__CUDACC__)
  return *from;
#else
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
#endif
}
template <class Value>
__device__ __forceinline__ void store_whole(Value* to, const Value& value) {
#if defined(__CUDACC__)
  *to = value;
#else
  std::memcpy(to, &value, sizeof value);
#endif
}

// One load of count * sizeof(T) bytes; the address is a multiple of that.
template <int count, class T>
__device__ __forceinline__ void load_packed(const T* from, float (&values)[count]) {
  unpack(load_whole(reinterpret_cast<const Packed<T, count>*>(from)), values);
}

// One store.
template <int count, class T>
__device__ __forceinline__ void store_packed(T* to, const float (&values)[count]) {
  Packed<T, count> packed;
#pragma unroll
  for (int i = 0; i < count; ++i) packed.values[i] = from_float<T>(values[i]);
  store_whole(reinterpret_cast<Packed<T, count>*>(to), packed);
}

}  // namespace isda
