// SPDX-License-Identifier: Apache-2.0
// Operations that treat every element by itself: ReLU, sum, scale, sigmoid, scale by channel, dropout.
//
// Arrays are of one type f32|bf16|f64 and, unless said otherwise, of one shape, whatever its rank.
//   FLOP  1 an element (sigmoid counts 10, dropout 1)     bytes  every argument once
#pragma once
#include <cstdint>

#include "kernels/common/operation.h"
#include "kernels/common/philox.h"

namespace isda::kernels {

// y = x where x > 0, else 0; a NaN stays a NaN.
struct Relu {
  static constexpr auto name = "relu";
  ConstView x;
  View y;  // overwritten; may be x
};
ISDA_OPERATION(Relu);

struct ReluBackward {
  static constexpr auto name = "relu_backward";
  ConstView dy, y;  // y: Relu's output
  View dx;          // overwritten: dx = dy where y > 0, else 0; may be dy
};
ISDA_OPERATION(ReluBackward);

// y = a + b. Its gradient is dy for both.
struct Add {
  static constexpr auto name = "add";
  ConstView a, b;
  View y;  // overwritten; may be a or b
};
ISDA_OPERATION(Add);

// y = factor * x. The factor lies in device memory, so that it may change between replays of a recorded step.
struct Scale {
  static constexpr auto name = "scale";
  ConstView x;
  ConstView factor;  // (1), parameter type: f64 beside f64, otherwise f32
  View y;            // overwritten; may be x
};
ISDA_OPERATION(Scale);

// y = 1 / (1 + exp(-x))
struct Sigmoid {
  static constexpr auto name = "sigmoid";
  ConstView x;
  View y;  // overwritten; may be x
};
ISDA_OPERATION(Sigmoid);

struct SigmoidBackward {
  static constexpr auto name = "sigmoid_backward";
  ConstView dy, y;  // y: Sigmoid's output
  View dx;          // overwritten: dx = dy * y * (1 - y); may be dy
};
ISDA_OPERATION(SigmoidBackward);

// One factor for every image and channel, as squeeze-and-excitation needs it: y[n,h,w,c] = x[n,h,w,c] * scale[n,c].
struct ScaleChannels {
  static constexpr auto name = "scale_channels";
  ConstView x;      // (N,H,W,C)
  ConstView scale;  // (N,C)
  View y;           // (N,H,W,C), overwritten; may be x
};
ISDA_OPERATION(ScaleChannels);

struct ScaleChannelsBackward {
  static constexpr auto name = "scale_channels_backward";
  ConstView dy, x;  // (N,H,W,C)
  ConstView scale;  // (N,C)
  View dx;          // (N,H,W,C), overwritten: dx[n,h,w,c] = dy[n,h,w,c] * scale[n,c]; may be dy
  View dscale;      // (N,C), overwritten: dscale[n,c] = sum over (h,w) of dy[n,h,w,c] * x[n,h,w,c]
};
ISDA_OPERATION(ScaleChannelsBackward);

// Each element is made 0 with the given probability and otherwise divided by (1 - probability).   Srivastava et al., 2014.
// Which elements are dropped is a function of (seed, layer, step, element index) alone; so the gradient is the same operation
// applied to dy, and nothing needs to be kept for it.
struct Dropout {
  static constexpr auto name = "dropout";
  ConstView x;
  ConstView step;            // (1) i32, the training step; in device memory, since it changes between replays
  float probability = 0.5f;  // of dropping: from 0, below 1
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;  // tells apart the dropouts of one network
  View y;                   // overwritten; may be x
};
ISDA_OPERATION(Dropout);

// The random words of the elements 4*quad .. 4*quad+3; an element is kept where its uniform_float(word) >= probability.
constexpr PhiloxCounter dropout_words(std::uint64_t seed, std::uint32_t layer, std::uint32_t step, std::uint64_t quad) {
  return philox(seed, RandomStream::dropout, std::uint64_t{layer} << 32 | step, quad);
}

}  // namespace isda::kernels
