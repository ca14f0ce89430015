// SPDX-License-Identifier: Apache-2.0
// How the kernels of this folder go through arrays that are no rows and columns to them: a block takes a tile, a thread two packets of 16 bytes of it,
// a block's width apart; so every access of a warp is 512 contiguous bytes.
//
//   256 threads a block, no shared memory; at 1024 threads a multiprocessor (56 registers), 32 KiB of each array are on their way to it
//
// The last tile of a ragged array, and all tiles where an array begins at no multiple of 16 bytes (a view into a larger one), go by single elements.
#pragma once
#include "kernels/common/simt.cuh"

namespace isda::kernels::stream {

inline constexpr int kThreads = 256, kPackets = 2;

template <class T>
inline constexpr std::int64_t kTile = std::int64_t{kThreads} * kPackets* kPacked<T>;

// The first element of a thread's packet.
template <class T>
__device__ __forceinline__ std::int64_t first_element(int packet) {
  return blockIdx.x * kTile<T> + (packet * kThreads + static_cast<int>(threadIdx.x)) * kPacked<T>;
}

// Calls body with std::true_type where the block's tile can go by packets, otherwise with std::false_type.
// NOTE: chosen once for a block: a choice at every packet would have each load waited for before the next begins.
template <class T, class Body>
__device__ __forceinline__ void visit_tile(std::int64_t count, bool is_aligned, Body&& body) {
  if (is_aligned && (blockIdx.x + 1) * kTile<T> <= count)
    body(std::true_type());
  else
    body(std::false_type());
}

// The packet that begins at element `first`; zeros from `count` on.
template <bool by_packets, class T>
__device__ __forceinline__ Packed<T> load(const T* from, std::int64_t first, std::int64_t count SIMT_CALLER) {
  if constexpr (by_packets) {
    return load_whole(reinterpret_cast<const Packed<T>*>(from + first) SIMT_AT_CALLER);
  } else {
    float values[kPacked<T>];
#pragma unroll
    for (int i = 0; i < kPacked<T>; ++i) values[i] = first + i < count ? to_float(from[first + i]) : 0.0f;
    return pack<T>(values);
  }
}

template <bool by_packets, int width, class T>
__device__ __forceinline__ void store(T* to, const float (&values)[width], std::int64_t first, std::int64_t count SIMT_CALLER) {
  if constexpr (by_packets) {
    store_packed(to + first, values SIMT_AT_CALLER);
  } else {
#pragma unroll
    for (int i = 0; i < width; ++i) {
      if (first + i < count) to[first + i] = from_float<T>(values[i]);
    }
  }
}

}  // namespace isda::kernels::stream
