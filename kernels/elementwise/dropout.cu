// SPDX-License-Identifier: Apache-2.0
// Dropout: a thread draws four Philox words for every four elements and passes or drops them.
//
//   x and y once, 16 bytes at a time (kernels/elementwise/stream.cuh); nothing is kept for the gradient
//   About 25 instructions an element, 20 of them Philox's ten rounds: close to bound by arithmetic in bf16 (4 bytes an element), by memory in f32.
#include "kernels/elementwise/elementwise.h"
#include "kernels/elementwise/stream.cuh"

namespace isda::kernels {

namespace {

struct Drop {
  float probability, scale;  // scale: 1 / (1 - probability)
  std::uint64_t seed;
  std::uint32_t layer;
};

// NOTE: y may be x.
template <class T>
__global__ void __launch_bounds__(stream::kThreads) dropout_kernel(Drop drop, const std::int32_t* step, const T* x, T* y, std::int64_t count, bool is_aligned) {
  const auto now = static_cast<std::uint32_t>(__ldg(step));
  stream::visit_tile<T>(count, is_aligned, [&](auto by_packets) {
    // Load.
    Packed<T> packets[stream::kPackets];
#pragma unroll
    for (int packet = 0; packet < stream::kPackets; ++packet) packets[packet] = stream::load<by_packets>(x, stream::first_element<T>(packet), count);
      // Draw, and store.
#pragma unroll
    for (int packet = 0; packet < stream::kPackets; ++packet) {
      const std::int64_t first = stream::first_element<T>(packet);
      float values[kPacked<T>];
      unpack(packets[packet], values);
#pragma unroll
      for (int quad = 0; quad < kPacked<T> / 4; ++quad) {
        const PhiloxCounter words = dropout_words(drop.seed, drop.layer, now, static_cast<std::uint64_t>(first / 4 + quad));
#pragma unroll
        for (int word = 0; word < 4; ++word) {
          float& value = values[4 * quad + word];
          value = uniform_float(words[word]) >= drop.probability ? value * drop.scale : 0.0f;
        }
      }
      stream::store<by_packets>(y, values, first, count);
    }
  });
}

}  // namespace

void run(Cuda, const Context& context, const Dropout& op) {
  const auto scale = static_cast<float>(1 / (1 - static_cast<double>(op.probability)));
  const Drop drop{op.probability, scale, op.seed, op.layer};
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    launch(context, {.name = op.name, .grid = blocks_for(op.x.size(), stream::kTile<T>), .block = stream::kThreads}, dropout_kernel<T>, drop,
           op.step.as<std::int32_t>(), elements<T>(op.x), elements<T>(op.y), op.x.size(), are_aligned({op.x, op.y}));
  });
}

}  // namespace isda::kernels
