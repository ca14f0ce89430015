// SPDX-License-Identifier: Apache-2.0
// What the 32 lanes of a warp, or all threads of a block, work out together. Every sum has a fixed order: lane i with lane i ^ 16, then 8, 4, 2, 1;
// then the warps from the first to the last.
#pragma once
#include "kernels/common/cuda.cuh"
#include "kernels/common/moments.h"

namespace isda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarp = 32;

// combine(mine, the other lane's) over groups of `width` lanes; every lane of a group has the result.
template <int width = kWarp, class T, class Combine>
__device__ __forceinline__ T warp_reduce(T value, Combine&& combine SIMT_CALLER) {
#pragma unroll
  for (int distance = width / 2; distance > 0; distance /= 2) value = combine(value, __shfl_xor_sync(kAllLanes, value, distance, kWarp SIMT_AT_CALLER));
  return value;
}

template <int width = kWarp, class T>
__device__ __forceinline__ T warp_sum(T value SIMT_CALLER) {
  return warp_reduce<width>(value, [](T a, T b) { return a + b; } SIMT_AT_CALLER);
}

template <int width = kWarp, class T>
__device__ __forceinline__ T warp_max(T value SIMT_CALLER) {
  return warp_reduce<width>(value, [](T a, T b) { return a < b ? b : a; } SIMT_AT_CALLER);
}

// Count, mean and centred squares of two groups as one (kernels/common/moments.h).
// NOTE: not symmetric in its last bit: the compiler fuses a product into the sum that it is part of.
__device__ __forceinline__ Moments<float> merged(const Moments<float>& a, const Moments<float>& b) {
  const float count = a.count + b.count;
  if (count == 0) return a;
  const float delta = b.mean - a.mean, share_a = a.count / count, share_b = b.count / count;
  return {count, share_a * a.mean + share_b * b.mean, (a.m2 + b.m2) + delta * delta * (a.count * share_b)};
}

// NOTE: for blocks whose x extent is a multiple of the warp: both lanes of an exchange put the lower one's part first, and so find the same bits.
template <int width = kWarp>
__device__ __forceinline__ Moments<float> warp_moments(Moments<float> value SIMT_CALLER) {
#pragma unroll
  for (int distance = width / 2; distance > 0; distance /= 2) {
    const Moments<float> other{__shfl_xor_sync(kAllLanes, value.count, distance, kWarp SIMT_AT_CALLER),
                               __shfl_xor_sync(kAllLanes, value.mean, distance, kWarp SIMT_AT_CALLER),
                               __shfl_xor_sync(kAllLanes, value.m2, distance, kWarp SIMT_AT_CALLER)};
    value = threadIdx.x & distance ? merged(other, value) : merged(value, other);
  }
  return value;
}

// The sum over all threads of the block, for every thread. `partial`: shared memory, one element a warp. Leaves it in use: a barrier must
// come before it is written again.
template <class T>
__device__ __forceinline__ T block_sum(T value, T* partial SIMT_CALLER) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  value = warp_sum(value SIMT_AT_CALLER);
  if (lane == 0) partial[warp] = value;
  __syncthreads(SIMT_CALLER_ALONE);
  T sum = partial[0];
  for (int other = 1; other < static_cast<int>(blockDim.x) / kWarp; ++other) sum += partial[other];
  return sum;
}

}  // namespace isda
