// SPDX-License-Identifier: Apache-2.0
// CUB's block-wide and warp-wide collectives for the emulated card: the interface of NVIDIA's <cub/cub.cuh> for blocks in one dimension, by shared
// memory and barriers of the emulator, so that a forgotten barrier between two uses of one TempStorage is seen.
//   CCCL documentation: cub::BlockReduce, cub::BlockScan, cub::WarpReduce
//
//   using Reduce = cub::BlockReduce<float, 256>;
//   SIMT_SHARED(storage, Reduce::TempStorage);
//   const float sum = Reduce(storage).Sum(value);      in thread 0, as with CUB
#pragma once
#include "kernels/emulator/language.cuh"

namespace cub {

template <class T, int threads>
class BlockReduce {
 public:
  struct TempStorage {
    T values[threads];
  };

  explicit BlockReduce(TempStorage& storage) : storage_(storage) {}

  // combine over all threads' values, from the first to the last; only thread 0 has the result.
  template <class Combine>
  T Reduce(T value, Combine combine, SIMT_WHERE) {
    storage_.values[threadIdx.x] = value;
    __syncthreads(where);
    if (threadIdx.x != 0) return value;
    T result = storage_.values[0];
    for (int thread = 1; thread < threads; ++thread) result = combine(result, storage_.values[thread]);
    return result;
  }
  T Sum(T value, SIMT_WHERE) {
    return Reduce(
        value, [](const T& a, const T& b) { return a + b; }, where);
  }

 private:
  TempStorage& storage_;
};

template <class T, int threads>
class BlockScan {
 public:
  struct TempStorage {
    T values[threads];
  };

  explicit BlockScan(TempStorage& storage) : storage_(storage) {}

  // The sum over the threads before this one; `total`: over all, for every thread.
  void ExclusiveSum(T value, T& result, T& total, SIMT_WHERE) {
    storage_.values[threadIdx.x] = value;
    __syncthreads(where);
    T sum{};
    for (int thread = 0; thread < threads; ++thread) {
      if (thread == static_cast<int>(threadIdx.x)) result = sum;
      sum = sum + storage_.values[thread];
    }
    total = sum;
  }
  void ExclusiveSum(T value, T& result, SIMT_WHERE) {
    T total;
    ExclusiveSum(value, result, total, where);
  }
  void InclusiveSum(T value, T& result, SIMT_WHERE) {
    ExclusiveSum(value, result, where);
    result = result + value;
  }

 private:
  TempStorage& storage_;
};

template <class T>
class WarpReduce {
 public:
  struct TempStorage {
    char unused;
  };

  explicit WarpReduce(TempStorage&) {}

  // combine over the warp's values, from the first lane to the last; only lane 0 has the result.
  template <class Combine>
  T Reduce(T value, Combine combine, SIMT_WHERE) {
    T result = __shfl_sync(0xffffffffu, value, 0, 32, where);
    for (int lane = 1; lane < 32; ++lane) result = combine(result, __shfl_sync(0xffffffffu, value, lane, 32, where));
    return result;
  }
  T Sum(T value, SIMT_WHERE) {
    return Reduce(
        value, [](const T& a, const T& b) { return a + b; }, where);
  }
};

}  // namespace cub
