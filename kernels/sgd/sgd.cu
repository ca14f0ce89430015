// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent on the card: one launch for up to 80 tensors, a block a tile of 2048 elements of one of them, whatever their sizes.
//
//   parameter and momentum read and written once, gradient read once, copy written once: 20 bytes an element (22 with a copy), 16 bytes at a time (copy: 8)
//   256 threads a block, no shared memory; bound by memory: about ten instructions an element
//
// Where the tensors lie and which blocks are theirs stands in a table that is an argument of the kernel, by value. So it reaches the card with the launch:
// nothing is copied, nobody waits, no memory must outlive the call, and a graph that records the launch keeps the table with it. Arguments may have 4 KiB
// on every card, which is what limits a launch to 80 tensors; a ResNet of 110 layers has 330 and takes five launches. They lie in the constant cache,
// where all threads of a block look up the same entry at once.
#include "kernels/sgd/sgd.h"

#include "kernels/elementwise/stream.cuh"

namespace isda::kernels {

namespace {

constexpr int kMostTensors = 80;
constexpr std::int64_t kTile = stream::kTile<float>;

struct TensorOnCard {
  float* parameter;
  const float* gradient;
  float* momentum;
  __nv_bfloat16* copy;  // null where there is none
  std::int64_t count;
  unsigned first_block;
  bool is_aligned;
};

struct Table {
  TensorOnCard tensors[kMostTensors];
  int count = 0;
  unsigned blocks = 0;
};

struct Factors {
  const float* learning_rate;
  float momentum, weight_decay;
};

static_assert(sizeof(Table) + sizeof(Factors) <= 4096, "the arguments of a kernel");

// The tensor that the block is one of: the last one that begins at this block or before.
__device__ __forceinline__ const TensorOnCard& tensor_of_block(const Table& table) {
  int low = 0, high = table.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (table.tensors[middle].first_block <= blockIdx.x)
      low = middle;
    else
      high = middle;
  }
  return table.tensors[low];
}

template <bool has_momentum, bool is_nesterov>
__global__ void __launch_bounds__(stream::kThreads) sgd_kernel(const __grid_constant__ Table table, const __grid_constant__ Factors factors) {
  const TensorOnCard& tensor = tensor_of_block(table);
  const float learning_rate = __ldg(factors.learning_rate);
  const std::int64_t tile = (blockIdx.x - tensor.first_block) * kTile, count = tensor.count;
  const auto first_of = [&](int packet) { return tile + (packet * stream::kThreads + static_cast<int>(threadIdx.x)) * kPacked<float>; };
  const auto update = [&](auto by_packets) {
    // Load.
    Packed<float> parameters[stream::kPackets], gradients[stream::kPackets];
    [[maybe_unused]] Packed<float> momenta[stream::kPackets];
#pragma unroll
    for (int packet = 0; packet < stream::kPackets; ++packet) {
      const std::int64_t first = first_of(packet);
      parameters[packet] = stream::load<by_packets>(tensor.parameter, first, count);
      gradients[packet] = stream::load<by_packets>(tensor.gradient, first, count);
      if constexpr (has_momentum) momenta[packet] = stream::load<by_packets>(tensor.momentum, first, count);
    }
    // Step and store.
#pragma unroll
    for (int packet = 0; packet < stream::kPackets; ++packet) {
      const std::int64_t first = first_of(packet);
      float p[kPacked<float>], change[kPacked<float>];
      [[maybe_unused]] float b[kPacked<float>];
      unpack(parameters[packet], p);
      unpack(gradients[packet], change);
      if constexpr (has_momentum) unpack(momenta[packet], b);
#pragma unroll
      for (int i = 0; i < kPacked<float>; ++i) {
        change[i] += factors.weight_decay * p[i];
        if constexpr (has_momentum) {
          b[i] = factors.momentum * b[i] + change[i];
          change[i] = is_nesterov ? change[i] + factors.momentum * b[i] : b[i];
        }
        p[i] -= learning_rate * change[i];
      }
      stream::store<by_packets>(tensor.parameter, p, first, count);
      if constexpr (has_momentum) stream::store<by_packets>(tensor.momentum, b, first, count);
      if (tensor.copy) stream::store<by_packets>(tensor.copy, p, first, count);
    }
  };
  if (tensor.is_aligned && tile + kTile <= count)
    update(std::true_type());
  else
    update(std::false_type());
}

}  // namespace

void run(Cuda, const Context& context, const Sgd& op) {
  const DType type = op.learning_rate.type();
  require(type == DType::f32, "[{}] the cuda device keeps parameters in f32, got {}; use --device reference for f64", op.name, name_of(type));
  const auto kernel = op.momentum > 0 ? (op.nesterov ? sgd_kernel<true, true> : sgd_kernel<true, false>) : sgd_kernel<false, false>;
  const Factors factors{op.learning_rate.as<float>(), static_cast<float>(op.momentum), static_cast<float>(op.weight_decay)};
  Table table{};
  const auto launch_table = [&] {
    // NOTE: a variable: inside a lambda nvcc does not compile such a list as an argument.
    const LaunchShape shape{.name = op.name, .grid = table.blocks, .block = stream::kThreads};
    if (table.count > 0) launch(context, shape, kernel, table, factors);
    table = Table{};
  };
  for (const auto& [parameter, gradient, momentum, copy] : op.tensors) {
    if (parameter.size() == 0) continue;
    table.tensors[table.count++] = {.parameter = parameter.as<float>(),
                                    .gradient = gradient.as<float>(),
                                    .momentum = momentum.as<float>(),
                                    .copy = elements<__nv_bfloat16>(copy),
                                    .count = parameter.size(),
                                    .first_block = table.blocks,
                                    .is_aligned = are_aligned({parameter, gradient, momentum, copy})};
    table.blocks += blocks_for(parameter.size(), kTile);
    if (table.count == kMostTensors) launch_table();
  }
  launch_table();
}

}  // namespace isda::kernels
