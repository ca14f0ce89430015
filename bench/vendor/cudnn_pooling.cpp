// SPDX-License-Identifier: Apache-2.0
// Pooling by cuDNN: y = pool(x), dx from dy. Its gradient of the maximum looks for the winners again in x and y; ours remembers them in indices.
#include "bench/vendor/cudnn.h"
#include "kernels/pooling/pooling.h"

namespace isda::vendor {

namespace {

using namespace kernels;

constexpr float kOne = 1, kZero = 0;

class Window : public Owned<cudnnPoolingDescriptor_t, cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor> {
 public:
  Window(cudnnPoolingMode_t mode, std::int64_t rows, std::int64_t columns, std::int64_t padding, std::int64_t stride) {
    const auto pad = static_cast<int>(padding), step = static_cast<int>(stride);
    require_success(cudnnSetPooling2dDescriptor(get(), mode, CUDNN_NOT_PROPAGATE_NAN, static_cast<int>(rows), static_cast<int>(columns), pad, pad, step, step),
                    "cudnnSetPooling2dDescriptor");
  }
};

// A window over x and what is pooled of it, and both as arrays of cuDNN.
struct Pooling {
  Window window;
  Images wide, pooled;

  template <class Operation>
  Pooling(cudnnPoolingMode_t mode, const Operation& op, const ConstView& x, const ConstView& y)
      : window(mode, op.kernel, op.kernel, op.padding, op.stride), wide(x), pooled(y) {}
  // The mean of the whole image.
  Pooling(const ConstView& x, const ConstView& y)
      : window(CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, x.extent(1), x.extent(2), 0, 1), wide(x), pooled(y.type(), y.extent(0), 1, 1, y.extent(1)) {}
};

void forward(cudnnHandle_t handle, const Pooling& pooling, const ConstView& x, const View& y) {
  require_success(cudnnPoolingForward(handle, pooling.window.get(), &kOne, pooling.wide.get(), x.data(), &kZero, pooling.pooled.get(), y.data()),
                  "cudnnPoolingForward");
}

void backward(cudnnHandle_t handle, const Pooling& pooling, const ConstView& y, const ConstView& dy, const ConstView& x, const View& dx) {
  require_success(cudnnPoolingBackward(handle, pooling.window.get(), &kOne, pooling.pooled.get(), y.data(), pooling.pooled.get(), dy.data(), pooling.wide.get(),
                                       x.data(), &kZero, pooling.wide.get(), dx.data()),
                  "cudnnPoolingBackward");
}

template <class Operation>
Equal forward_of(const Context& context, std::shared_ptr<Pooling> pooling, const Operation& op, const char* left_out = "") {
  auto y = std::make_shared<Twin>(op.y);
  return {.words = cudnn_version() + left_out,
          .run = [=, handle = cudnn_handle(context)](const Context&) { forward(handle, *pooling, op.x, y->view()); },
          .ours = runner(op),
          .results = {{"y", op.y, y->view()}}};
}

// Of a mean, whose gradient needs neither x nor y.
template <class Operation>
Equal backward_of(const Context& context, std::shared_ptr<Pooling> pooling, const Operation& op) {
  struct State {
    Twin x, y, dx;
  };
  auto state = std::make_shared<State>(State{Twin(op.dx), Twin(op.dy), Twin(op.dx)});
  for (const Twin* unused : {&state->x, &state->y}) {
    cuda::fill_bytes(unused->view().data(), 0, static_cast<std::size_t>(unused->view().bytes()), context.stream());
  }
  return {.words = cudnn_version(),
          .run = [=, handle = cudnn_handle(context)](const Context&) { backward(handle, *pooling, state->y.view(), op.dy, state->x.view(), state->dx.view()); },
          .ours = runner(op),
          .results = {{"dx", op.dx, state->dx.view()}}};
}

// Of the maximum, on an x of its own in which no window has two equal elements, not even in bf16: which of them gets the gradient is not agreed on.
Equal backward_of(const Context& context, std::shared_ptr<Pooling> pooling, const MaxPool2dBackward& op) {
  struct State {
    Twin x, y, indices, dx;
  };
  auto state = std::make_shared<State>(State{Twin(op.dx), Twin(op.dy), Twin(op.indices), Twin(op.dx)});
  const std::int64_t W = op.dx.extent(2), C = op.dx.extent(3), H = op.dx.extent(1);
  // A permutation of 64 numbers in every 8 x 8 pixels, another in each channel.
  state->x.write(context, [=](std::int64_t i) {
    const std::int64_t w = i / C % W, h = i / C / W % H;
    return static_cast<double>((37 * (h % 8 * 8 + w % 8) + 5 * (i % C)) % 64);
  });
  const MaxPool2d pool{
      .x = state->x.view(), .y = state->y.view(), .indices = state->indices.view(), .kernel = op.kernel, .stride = op.stride, .padding = op.padding};
  kernels::run(context, pool);
  context.synchronise();
  MaxPool2dBackward ours = op;
  ours.indices = state->indices.view();
  return {.words = cudnn_version() + ", from x and y; ours from indices",
          .run = [=, handle = cudnn_handle(context)](const Context&) { backward(handle, *pooling, state->y.view(), op.dy, state->x.view(), state->dx.view()); },
          .ours = runner(ours),
          .results = {{"dx", op.dx, state->dx.view()}}};
}

}  // namespace

void add_pooling(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals) {
  constexpr auto kMax = CUDNN_POOLING_MAX;
  constexpr auto kMean = CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING;
  const auto add = [&](const std::function<Equal()>& make) { add_equal(equals, Math::full, launch, make); };
  const Launch& of = launches[launch];
  if (const auto* op = operation_of<MaxPool2d>(of)) {
    add([&] { return forward_of(context, std::make_shared<Pooling>(kMax, *op, op->x, op->y), *op, op->indices ? "; without indices" : ""); });
  }
  if (const auto* op = operation_of<AveragePool2d>(of)) add([&] { return forward_of(context, std::make_shared<Pooling>(kMean, *op, op->x, op->y), *op); });
  if (const auto* op = operation_of<GlobalAverage>(of)) add([&] { return forward_of(context, std::make_shared<Pooling>(op->x, op->y), *op); });
  if (const auto* op = operation_of<MaxPool2dBackward>(of)) {
    add([&] { return backward_of(context, std::make_shared<Pooling>(kMax, *op, op->dx, op->dy), *op); });
  }
  if (const auto* op = operation_of<AveragePool2dBackward>(of))
    add([&] { return backward_of(context, std::make_shared<Pooling>(kMean, *op, op->dx, op->dy), *op); });
  if (const auto* op = operation_of<GlobalAverageBackward>(of)) add([&] { return backward_of(context, std::make_shared<Pooling>(op->dx, op->dy), *op); });
}

}  // namespace isda::vendor
