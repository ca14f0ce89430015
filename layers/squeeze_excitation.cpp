// SPDX-License-Identifier: Apache-2.0
#include "layers/squeeze_excitation.h"

#include "core/autograd.h"
#include "layers/pooling.h"
#include "layers/relu.h"
#include "layers/scale_channels.h"
#include "layers/sigmoid.h"

namespace isda {

namespace {

std::int64_t width_between(std::int64_t channels, std::int64_t reduction) {
  require(reduction >= 1 && channels % reduction == 0, "[squeeze excitation] the reduction {} does not divide {} channels", reduction, channels);
  return channels / reduction;
}

// (N,1,1,C) seen as (N,C).
Tensor without_pixels(const Tensor& s) {
  return differentiable(s.reshaped({s.extent(0), s.extent(3)}), {s}, [shape = s.shape()](const Tensor& ds) { return Gradients{ds.reshaped(shape)}; });
}

}  // namespace

SqueezeExcitation::SqueezeExcitation(std::int64_t channels, std::int64_t reduction)
    : fc1_(child<Conv2d>("fc1", channels, width_between(channels, reduction), Conv2dOptions{.kernel = 1})),
      fc2_(child<Conv2d>("fc2", channels / reduction, channels, Conv2dOptions{.kernel = 1})) {}

Tensor SqueezeExcitation::operator()(const Tensor& x) const {
  require(x.shape().rank() == 4 && x.extent(1) == x.extent(2), "[squeeze excitation] x is {}, expected (N,H,W,C) with H = W", x.shape());
  const int extent = static_cast<int>(x.extent(1));
  const Tensor means = average_pool2d(x, {.kernel = extent, .stride = extent});
  return scale_channels(x, without_pixels(sigmoid(fc2_(relu(fc1_(means))))));
}

}  // namespace isda
