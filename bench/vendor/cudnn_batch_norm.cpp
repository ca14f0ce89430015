// SPDX-License-Identifier: Apache-2.0
// Batch normalisation of a training step by cuDNN, persistent mode, NHWC. One call of it does the work of several launches of ours, which are timed together:
//
//   cudnnBatchNormalizationForwardTrainingEx    statistics, running statistics, normalisation
//   cudnnBatchNormalizationBackwardEx           the two sums, the gradient
//
// Residual and ReLU are left out: its fused forms are for f16.
#include "bench/vendor/cudnn.h"
#include "kernels/batch_norm/batch_norm.h"

namespace isda::vendor {

namespace {

using namespace kernels;

constexpr auto kMode = CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
constexpr auto kPlain = CUDNN_BATCHNORM_OPS_BN;
constexpr float kOne = 1, kZero = 0;

class PerChannel : public Owned<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor> {
 public:
  explicit PerChannel(const Images& x) { require_success(cudnnDeriveBNTensorDescriptor(get(), x.get(), kMode), "cudnnDeriveBNTensorDescriptor"); }
};

// The forward pass into arrays of its own.
class Forward {
 public:
  Forward(const Context& context, const BatchNorm& op, double momentum)
      : handle_(cudnn_handle(context)),
        op_(op),
        momentum_(momentum),
        images_(op.x),
        channels_(images_),
        y_(op.y),
        mean_(op.mean),
        invstd_(op.mean),
        running_mean_(op.mean),
        running_variance_(op.mean) {
    for (const Twin* running : {&running_mean_, &running_variance_}) running->write(context, [](std::int64_t) { return 1.0; });
    std::size_t bytes = 0;
    require_success(cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(handle_, kMode, kPlain, images_.get(), nullptr, images_.get(), channels_.get(),
                                                                             nullptr, &bytes),
                    "cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize");
    workspace_bytes_ = bytes;
    workspace_ = allocate(bytes);
    require_success(cudnnGetBatchNormalizationTrainingExReserveSpaceSize(handle_, kMode, kPlain, nullptr, images_.get(), &bytes),
                    "cudnnGetBatchNormalizationTrainingExReserveSpaceSize");
    reserve_bytes_ = bytes;
    reserve_ = allocate(bytes);
    run();
    context.synchronise();
  }

  void run() const {
    require_success(cudnnBatchNormalizationForwardTrainingEx(
                        handle_, kMode, kPlain, &kOne, &kZero, images_.get(), op_.x.data(), nullptr, nullptr, images_.get(), y_.view().data(), channels_.get(),
                        op_.weight.data(), op_.bias.data(), momentum_, running_mean_.view().data(), running_variance_.view().data(), op_.epsilon,
                        mean_.view().data(), invstd_.view().data(), nullptr, workspace_.get(), workspace_bytes_, reserve_.get(), reserve_bytes_),
                    "cudnnBatchNormalizationForwardTrainingEx");
  }

  const View& y() const { return y_.view(); }
  const View& mean() const { return mean_.view(); }
  const View& invstd() const { return invstd_.view(); }
  const View& running_mean() const { return running_mean_.view(); }
  const View& running_variance() const { return running_variance_.view(); }
  void* reserve() const { return reserve_.get(); }
  std::size_t reserve_bytes() const { return reserve_bytes_; }

 private:
  cudnnHandle_t handle_;
  BatchNorm op_;
  double momentum_;
  Images images_;
  PerChannel channels_;
  Twin y_, mean_, invstd_, running_mean_, running_variance_;
  std::unique_ptr<std::byte, Problem::FreeOnCard> workspace_, reserve_;
  std::size_t workspace_bytes_ = 0, reserve_bytes_ = 0;
};

void copy(const Context& context, const View& to, const ConstView& from) {
  cuda::copy_on_device(to.data(), from.data(), static_cast<std::size_t>(from.bytes()), context.stream());
}

Equal forward_of(const Context& context, const BatchNormStatistics& statistics, const BatchNorm& op) {
  const RunningStatistics& running = op.running;
  auto theirs = std::make_shared<Forward>(context, op, running.momentum);
  BatchNorm plain = op;
  plain.residual = {};
  plain.relu = false;
  Equal equal;
  equal.words = cudnn_version() + ", for statistics, running statistics and normalisation together" +
                without({{static_cast<bool>(op.residual), "residual"}, {op.relu, "ReLU"}});
  equal.run = [theirs](const Context&) { theirs->run(); };
  // Running statistics are updated: both sides begin at the same.
  equal.begin = [theirs, running](const Context& its) {
    copy(its, theirs->running_mean(), running.mean);
    copy(its, theirs->running_variance(), running.variance);
  };
  equal.ours = [statistics, plain](const Context& its) {
    kernels::run(its, statistics);
    kernels::run(its, plain);
  };
  equal.results = {{"y", op.y, theirs->y()},
                   {"mean", statistics.mean, theirs->mean()},
                   {"running_mean", running.mean, theirs->running_mean()},
                   {"running_variance", running.variance, theirs->running_variance()}};
  return equal;
}

Equal backward_of(const Context& context, const BatchNormBackwardReduce& reduce, const BatchNormBackward& op) {
  struct State {
    Forward forward;  // what it saves for the backward pass
    Images images;
    PerChannel channels;
    Twin dx, dweight, dbias;
    std::unique_ptr<std::byte, Problem::FreeOnCard> workspace;
    std::size_t bytes = 0;
    State(const Context& its, const BatchNorm& saved, const BatchNormBackward& of)
        : forward(its, saved, 0.1), images(of.x), channels(images), dx(of.dx), dweight(of.mean), dbias(of.mean) {}
  };
  const BatchNorm saved{.x = op.x, .mean = op.mean, .variance = op.variance, .weight = op.weight, .bias = op.weight, .epsilon = op.epsilon, .y = op.dx};
  auto state = std::make_shared<State>(context, saved, op);
  const cudnnHandle_t handle = cudnn_handle(context);
  const auto images = state->images.get(), channels = state->channels.get();
  require_success(
      cudnnGetBatchNormalizationBackwardExWorkspaceSize(handle, kMode, kPlain, images, images, images, nullptr, images, channels, nullptr, &state->bytes),
      "cudnnGetBatchNormalizationBackwardExWorkspaceSize");
  state->workspace = allocate(state->bytes);

  BatchNormBackwardReduce plain_reduce = reduce;
  BatchNormBackward plain = op;
  plain_reduce.y = plain.y = {};
  plain.dresidual = {};
  Equal equal;
  equal.words = cudnn_version() + ", for both sums and the gradient together" +
                without({{static_cast<bool>(op.y), "ReLU"}, {static_cast<bool>(op.dresidual), "residual"}});
  equal.run = [=](const Context&) {
    require_success(
        cudnnBatchNormalizationBackwardEx(handle, kMode, kPlain, &kOne, &kZero, &kOne, &kZero, images, op.x.data(), nullptr, nullptr, images, op.dy.data(),
                                          nullptr, nullptr, images, state->dx.view().data(), channels, op.weight.data(), nullptr, state->dweight.view().data(),
                                          state->dbias.view().data(), op.epsilon, state->forward.mean().data(), state->forward.invstd().data(), nullptr,
                                          state->workspace.get(), state->bytes, state->forward.reserve(), state->forward.reserve_bytes()),
        "cudnnBatchNormalizationBackwardEx");
  };
  equal.ours = [plain_reduce, plain](const Context& its) {
    kernels::run(its, plain_reduce);
    kernels::run(its, plain);
  };
  equal.results = {{"dx", op.dx, state->dx.view()}};
  if (op.dweight) equal.results.push_back({"dweight", op.dweight, state->dweight.view()});
  if (op.dbias) equal.results.push_back({"dbias", op.dbias, state->dbias.view()});
  return equal;
}

}  // namespace

void add_batch_norm(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals) {
  if (const auto* op = operation_of<BatchNorm>(launches[launch]); op && launch >= 1) {
    const auto* statistics = operation_of<BatchNormStatistics>(launches[launch - 1]);
    if (statistics && op->running.mean && op->x.size() > op->x.extent(-1)) {
      add_equal(equals, Math::full, launch - 1, [&] { return forward_of(context, *statistics, *op); });
    }
  }
  if (const auto* op = operation_of<BatchNormBackward>(launches[launch]); op && launch >= 1) {
    const auto* reduce = operation_of<BatchNormBackwardReduce>(launches[launch - 1]);
    if (reduce && op->x.size() > op->x.extent(-1)) add_equal(equals, Math::full, launch - 1, [&] { return backward_of(context, *reduce, *op); });
  }
}

}  // namespace isda::vendor
