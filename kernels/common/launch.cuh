// SPDX-License-Identifier: Apache-2.0
// The one way to launch a kernel:
//
//   launch(context, {.name = "relu", .grid = blocks, .block = 256}, relu_kernel<float>, x, y, count);
//
// It enqueues on the context's stream (so that a graph records it), throws Error naming the kernel when the launch is refused, remembers the
// name for the message of a later failure, and, with ISDA_TRACE=1, times the kernel by two events.
#pragma once
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/common/context.h"
#include "kernels/common/cuda.cuh"
#include "kernels/common/trace.h"

namespace isda {

struct LaunchShape {
  const char* name;
  dim3 grid, block;
  std::size_t shared_bytes = 0;  // dynamic shared memory
};

// How many blocks of `size` cover `count`.
inline unsigned blocks_for(std::int64_t count, std::int64_t size) { return static_cast<unsigned>((count + size - 1) / size); }

namespace cuda {

// Throws Error when `status` is not success: "[relu] could not be launched with grid (1,1,1), block (256,1,1), 0 bytes of shared memory: ...".
void check_launch(cudaError_t status, const LaunchShape& shape);
void remember_launch(const char* name);
// Begins and ends the timing of one kernel, where the trace is on.
class KernelTimer {
 public:
  KernelTimer(const char* name, cudaStream_t stream);
  ~KernelTimer();
  KernelTimer(const KernelTimer&) = delete;
  KernelTimer& operator=(const KernelTimer&) = delete;

 private:
  const char* name_;
  cudaStream_t stream_;
  bool is_on_;
};

#if defined(__CUDACC__)
// NOTE: a card gives a kernel more than 48 KiB of shared memory only when it was told so before.
inline constexpr std::size_t kSharedByDefault = std::size_t{48} << 10;

template <class... Parameters>
cudaError_t enqueue(const LaunchShape& shape, cudaStream_t stream, void (*kernel)(Parameters...), std::tuple<std::remove_cv_t<Parameters>...> arguments) {
  const auto* function = reinterpret_cast<const void*>(kernel);
  if (shape.shared_bytes > kSharedByDefault) {
    const auto status = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
    if (status != cudaSuccess) return status;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  return std::apply(
      [&](auto&... values) {
        void* pointers[] = {static_cast<void*>(&values)..., nullptr};
        return cudaLaunchKernelExC(&config, function, pointers);
      },
      arguments);
}
#else
template <class... Parameters>
cudaError_t enqueue(const LaunchShape& shape, cudaStream_t stream, void (*kernel)(Parameters...), std::tuple<std::remove_cv_t<Parameters>...> arguments) {
  using Bound = emulator::BoundKernel<Parameters...>;
  auto* bound = new Bound{kernel, std::move(arguments)};
  const emulator::Launch launch{shape.name, shape.grid, shape.block, shape.shared_bytes, &Bound::invoke, &Bound::pointers, bound};
  return emulator::enqueue(
      launch, bound, [](void* kept) { delete static_cast<Bound*>(kept); }, stream);
}
#endif

}  // namespace cuda

template <class... Parameters, class... Arguments>
void launch(const Context& context, const LaunchShape& shape, void (*kernel)(Parameters...), Arguments&&... arguments) {
  const cuda::KernelTimer timer(shape.name, context.stream());
  cuda::remember_launch(shape.name);
  cuda::check_launch(cuda::enqueue(shape, context.stream(), kernel, std::tuple<std::remove_cv_t<Parameters>...>(std::forward<Arguments>(arguments)...)), shape);
}

}  // namespace isda
