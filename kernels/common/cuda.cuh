// SPDX-License-Identifier: Apache-2.0
// CUDA for host code and kernels alike: the toolkit's under nvcc, the emulator's as C++.
#pragma once
#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

// SIMT_SHARED(tile, float[32][33]);   an array in the shared memory of the block
#define SIMT_SHARED(name, ...) __shared__ std::type_identity_t<__VA_ARGS__> name

// For device functions that others call: as C++ the place of the call, which reports name; on a card nothing.
//   T warp_sum(T value SIMT_CALLER);              the last parameter
//   return warp_reduce(value, add SIMT_AT_CALLER);    given on, behind other arguments;   __syncthreads(SIMT_CALLER_ALONE) without any
#define SIMT_CALLER
#define SIMT_AT_CALLER
#define SIMT_CALLER_ALONE

// Pieces of the dynamic shared memory that the launch asked for:   SharedCarver carver;  float* a = carver.take<float>(count);
class SharedCarver {
 public:
  __device__ SharedCarver() {
    extern __shared__ __align__(1024) unsigned char simt_dynamic_shared[];
    next_ = simt_dynamic_shared;
  }
  template <class T>
  __device__ T* take(unsigned count, unsigned alignment = 16) {
    const auto address = (reinterpret_cast<std::uintptr_t>(next_) + alignment - 1) & ~static_cast<std::uintptr_t>(alignment - 1);
    T* taken = reinterpret_cast<T*>(address);
    next_ = reinterpret_cast<unsigned char*>(taken + count);
    return taken;
  }

 private:
  unsigned char* next_;
};
#else
#include "kernels/emulator/language.cuh"
#endif
