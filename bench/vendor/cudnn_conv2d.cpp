// SPDX-License-Identifier: Apache-2.0
// The three convolutions by cuDNN, without the fusions of ours that its convolution does not have.
#include "bench/vendor/cudnn_graph.h"
#include "kernels/conv2d/conv2d.h"

namespace isda::vendor {

namespace {

using kernels::Conv2d;
using kernels::Conv2dBackwardData;
using kernels::Conv2dBackwardWeights;

bool is_any(const kernels::Conv2dPrologue& prologue) { return prologue.scale || prologue.relu; }

// The library's convolution of these arrays, `result` being the one that it computes and `ours` our operation without more words than it has.
Equal equal_of(const Context& context, Direction direction, const ConvolutionArrays& arrays, const Geometry& geometry, Math math, std::shared_ptr<Twin> theirs,
               Result result, std::function<void(const Context&)> ours, const std::string& left_out) {
  auto convolution = std::make_shared<Convolution>(context, direction, arrays, geometry, math);
  return {.words = cudnn_version() + " " + convolution->words() + left_out,
          .run = [convolution, theirs](const Context&) { convolution->run(); },
          .ours = std::move(ours),
          .results = {std::move(result)}};
}

Equal equal_of(const Context& context, const Conv2d& op, Math math) {
  auto y = std::make_shared<Twin>(op.y);
  Conv2d plain = op;
  plain.prologue = {};
  plain.epilogue = {};
  return equal_of(context, Direction::forward, {op.x, op.weight, y->view()}, {op.stride, op.padding}, math, y, {"y", op.y, y->view()}, runner(plain),
                  without({{is_any(op.prologue), "prologue"},
                           {static_cast<bool>(op.epilogue.residual), "residual"},
                           {static_cast<bool>(op.epilogue.statistics.mean), "statistics"}}));
}

Equal equal_of(const Context& context, const Conv2dBackwardData& op, Math math) {
  auto dx = std::make_shared<Twin>(op.dx);
  Conv2dBackwardData plain = op;
  plain.prologue = {};
  plain.epilogue = {};
  return equal_of(context, Direction::backward_data, {dx->view(), op.weight, op.dy}, {op.stride, op.padding}, math, dx, {"dx", op.dx, dx->view()},
                  runner(plain),
                  without({{static_cast<bool>(op.prologue.y), "prologue"},
                           {static_cast<bool>(op.epilogue.residual), "residual"},
                           {static_cast<bool>(op.epilogue.mask.x), "mask"},
                           {static_cast<bool>(op.epilogue.sums.x), "sums"}}));
}

// NOTE: theirs is of the type of x, as a network in bf16 has it with cuDNN; ours is f32.
Equal equal_of(const Context& context, const Conv2dBackwardWeights& op, Math math) {
  auto dweight = std::make_shared<Twin>(op.dweight, op.x.type());
  Conv2dBackwardWeights plain = op;
  plain.prologue = {};
  plain.gradient_prologue = {};
  return equal_of(context, Direction::backward_weights, {op.x, dweight->view(), op.dy}, {op.stride, op.padding}, math, dweight,
                  {"dweight", op.dweight, dweight->view()}, runner(plain),
                  (op.x.type() == DType::bf16 ? "; dweight in bf16" : "") +
                      without({{is_any(op.prologue), "prologue"}, {static_cast<bool>(op.gradient_prologue.y), "gradient prologue"}}));
}

}  // namespace

void add_conv2d(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals) {
  const auto add = [&](const auto* op, DType type) {
    for (const Math math : maths_of(type)) add_equal(equals, math, launch, [&] { return equal_of(context, *op, math); });
  };
  if (const auto* forward = operation_of<Conv2d>(launches[launch])) add(forward, forward->x.type());
  if (const auto* data = operation_of<Conv2dBackwardData>(launches[launch])) add(data, data->dx.type());
  if (const auto* weights = operation_of<Conv2dBackwardWeights>(launches[launch])) add(weights, weights->x.type());
}

}  // namespace isda::vendor
