// SPDX-License-Identifier: Apache-2.0
#include "layers/dropout.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"

namespace isda {

Tensor dropout(const Tensor& x, const Tensor& step, const DropoutOptions& options) {
  // The same elements are dropped and the same scaled on the way back, so both ways are one operation.
  const auto drop = [step, options](const Tensor& from) {
    const Tensor to = Tensor::like(from);
    run(from.context(),
        kernels::Dropout{
            .x = from, .step = step, .probability = static_cast<float>(options.probability), .seed = options.seed, .layer = options.layer, .y = to});
    return to;
  };
  return differentiable(drop(x), {x}, [drop](const Tensor& dy) { return Gradients{drop(dy)}; });
}

}  // namespace isda
