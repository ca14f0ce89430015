// SPDX-License-Identifier: Apache-2.0
#include "layers/shake.h"

#include "core/autograd.h"
#include "kernels/shake/shake.h"

namespace isda {

Tensor shake(const Tensor& shortcut, const Tensor& a, const Tensor& b, const Tensor& step, const ShakeOptions& options) {
  const kernels::ShakeRule rule{.survival = static_cast<float>(options.survival), .seed = options.seed, .layer = options.layer, .is_shaken = options.is_shaken};
  const Tensor y = Tensor::like(a);
  run(a.context(), kernels::Shake{.shortcut = shortcut, .a = a, .b = b, .step = step, .rule = rule, .y = y});

  const bool has_two = static_cast<bool>(b), is_padded = shortcut.extent(3) < a.extent(3);
  return differentiable(y, {shortcut, a, b}, [=, narrow = shortcut.shape()](const Tensor& dy) {
    const Tensor da = Tensor::like(dy), db = has_two ? Tensor::like(dy) : Tensor();
    const Tensor dshortcut = is_padded ? Tensor(narrow, dy.type(), dy.device()) : Tensor();
    run(dy.context(), kernels::ShakeBackward{.dy = dy, .step = step, .rule = rule, .da = da, .db = db, .dshortcut = dshortcut});
    return Gradients{is_padded ? dshortcut : dy, da, db};
  });
}

Tensor Shake::operator()(const Tensor& shortcut, const Tensor& a, const Tensor& b) const {
  ShakeOptions options = options_;
  options.is_shaken = options.is_shaken && is_training();
  return shake(shortcut, a, b, step_, options);
}

}  // namespace isda
