// SPDX-License-Identifier: Apache-2.0
// Operations whose element i depends on the elements i of one or two arrays: one kernel for all, and a functor for each.
//
//   a, b (b where the operation has two arguments), y: read and written once, 16 bytes at a time (kernels/elementwise/stream.cuh)
//   Bound by memory: 2 to 20 instructions an element, against the 2 to 12 bytes it moves.
#include <cmath>
#include <type_traits>

#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/stream.cuh"

namespace isda::kernels {

namespace {

struct KeepPositive {
  __device__ float operator()(float x) const { return x < 0 ? 0.0f : x; }
};

struct PassWherePositive {
  __device__ float operator()(float dy, float y) const { return y > 0 ? dy : 0.0f; }
};

struct Plus {
  __device__ float operator()(float a, float b) const { return a + b; }
};

struct Times {
  const float* factor;
  __device__ float operator()(float x) const { return __ldg(factor) * x; }
};

struct Squash {
  __device__ float operator()(float x) const { return __fdividef(1, 1 + expf(-x)); }
};

struct SquashBackward {
  __device__ float operator()(float dy, float y) const { return dy * y * (1 - y); }
};

// y[i] = operation(a[i]) or operation(a[i], b[i]). NOTE: y may be a or b: so no __restrict__, and all loads stand before the first store.
template <class Operation, class T>
__global__ void __launch_bounds__(stream::kThreads) map_kernel(Operation operation, const T* a, const T* b, T* y, std::int64_t count, bool is_aligned) {
  constexpr bool is_binary = std::is_invocable_v<Operation, float, float>;
  stream::visit_tile<T>(count, is_aligned, [&](auto by_packets) {
    // Load.
    Packed<T> packets_a[stream::kPackets];
    [[maybe_unused]] Packed<T> packets_b[stream::kPackets];
#pragma unroll
    for (int packet = 0; packet < stream::kPackets; ++packet) {
      const std::int64_t first = stream::first_element<T>(packet);
      packets_a[packet] = stream::load<by_packets>(a, first, count);
      if constexpr (is_binary) packets_b[packet] = stream::load<by_packets>(b, first, count);
    }
    // Compute and store.
#pragma unroll
    for (int packet = 0; packet < stream::kPackets; ++packet) {
      float values[kPacked<T>];
      unpack(packets_a[packet], values);
      if constexpr (is_binary) {
        float others[kPacked<T>];
        unpack(packets_b[packet], others);
#pragma unroll
        for (int i = 0; i < kPacked<T>; ++i) values[i] = operation(values[i], others[i]);
      } else {
#pragma unroll
        for (int i = 0; i < kPacked<T>; ++i) values[i] = operation(values[i]);
      }
      stream::store<by_packets>(y, values, stream::first_element<T>(packet), count);
    }
  });
}

template <class Operation>
void map(const Context& context, const char* name, const Operation& operation, const ConstView& a, const ConstView& b, const View& y) {
  dispatch_cuda(name, y.type(), [&]<class T>() {
    launch(context, {.name = name, .grid = blocks_for(y.size(), stream::kTile<T>), .block = stream::kThreads}, map_kernel<Operation, T>, operation,
           elements<T>(a), elements<T>(b), elements<T>(y), y.size(), are_aligned({a, b, y}));
  });
}

}  // namespace

void run(Cuda, const Context& context, const Relu& op) { map(context, op.name, KeepPositive{}, op.x, {}, op.y); }

void run(Cuda, const Context& context, const ReluBackward& op) { map(context, op.name, PassWherePositive{}, op.dy, op.y, op.dx); }

void run(Cuda, const Context& context, const Add& op) { map(context, op.name, Plus{}, op.a, op.b, op.y); }

void run(Cuda, const Context& context, const Scale& op) {
  // NOTE: data(), since f64 is refused by map, with its message.
  map(context, op.name, Times{static_cast<const float*>(op.factor.data())}, op.x, {}, op.y);
}

void run(Cuda, const Context& context, const Sigmoid& op) { map(context, op.name, Squash{}, op.x, {}, op.y); }

void run(Cuda, const Context& context, const SigmoidBackward& op) { map(context, op.name, SquashBackward{}, op.dy, op.y, op.dx); }

}  // namespace isda::kernels
