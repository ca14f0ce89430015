// SPDX-License-Identifier: Apache-2.0
// The linear layer by cuBLAS, whose matrices are column-major: a row-major (R,C) array is a column-major (C,R) one with C as its leading extent, so
//
//   y  (N,C) = x W^T     is   y_cm  (C,N) = op_T(W_cm (A,C)) x_cm (A,N)
//   dx (N,A) = dy W      is   dx_cm (A,N) = W_cm (A,C) dy_cm (C,N)
//   dW (C,A) = dy^T x    is   dW_cm (A,C) = x_cm (A,N) op_T(dy_cm (C,N))
//   db (C)   = dy^T 1    is   db_cm (C,1) = dy_cm (C,N) ones (N,1)
#include <cublas_v2.h>

#include <algorithm>
#include <map>

#include "bench/vendor/vendor.h"
#include "kernels/linear/linear.h"

namespace isda::vendor {

namespace {

using kernels::Linear;
using kernels::LinearBackward;

void require_success(cublasStatus_t status, const char* function) {
  require(status == CUBLAS_STATUS_SUCCESS, "[vendor] {}: {}", function, cublasGetStatusString(status));
}

// cuBLAS on the context's stream, with memory of its own, so that a graph can record it.
// NOTE: made once a stream and never destroyed, as cuDNN's (cudnn.cpp).
cublasHandle_t cublas_handle(const Context& context) {
  constexpr std::size_t kWorkspace = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper
  static auto& handles = *new std::map<CUstream_st*, cublasHandle_t>;
  cublasHandle_t& handle = handles[context.stream()];
  if (!handle) {
    require_success(cublasCreate(&handle), "cublasCreate");
    require_success(cublasSetStream(handle, context.stream()), "cublasSetStream");
    require_success(cublasSetWorkspace(handle, allocate(kWorkspace).release(), kWorkspace), "cublasSetWorkspace");
  }
  return handle;
}

// A row-major array (rows, columns) as a factor of a column-major product.
struct Factor {
  ConstView view;
  bool is_transposed = false;  // of its column-major reading (columns, rows)

  int leading() const { return static_cast<int>(view.extent(1)); }
  // Of what stands in the product.
  int rows() const { return static_cast<int>(view.extent(is_transposed ? 0 : 1)); }
  int columns() const { return static_cast<int>(view.extent(is_transposed ? 1 : 0)); }
};

cudaDataType_t type_of(const ConstView& view) { return view.type() == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// result_cm = left right, as column-major matrices.
void multiply(cublasHandle_t cublas, Math math, const Factor& left, const Factor& right, const View& result) {
  require(left.columns() == right.rows() && result.extent(1) == left.rows() && result.extent(0) == right.columns(), "[vendor] a product of ({},{}) and ({},{})",
          left.rows(), left.columns(), right.rows(), right.columns());
  const float one = 1, zero = 0;
  const auto operation = [](const Factor& factor) { return factor.is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  require_success(
      cublasGemmEx(cublas, operation(left), operation(right), left.rows(), right.columns(), left.columns(), &one, left.view.data(), type_of(left.view),
                   left.leading(), right.view.data(), type_of(right.view), right.leading(), &zero, result.data(), type_of(result),
                   static_cast<int>(result.extent(1)), math == Math::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "cublasGemmEx");
}

// A vector as one column of a column-major matrix.
View as_row(const View& vector) { return {vector.data(), vector.type(), {1, vector.size()}}; }

Equal forward_of(const Context& context, const Linear& op, Math math) {
  auto y = std::make_shared<Twin>(op.y);
  Linear plain = op;
  plain.bias = {};
  Equal equal;
  equal.words = cublas_version() + without({{static_cast<bool>(op.bias), "bias"}});
  equal.run = [=, cublas = cublas_handle(context)](const Context&) { multiply(cublas, math, {op.weight, true}, {op.x}, y->view()); };
  equal.ours = runner(plain);
  equal.results = {{"y", op.y, y->view()}};
  return equal;
}

Equal backward_of(const Context& context, const LinearBackward& op, Math math) {
  struct State {
    Twin ones;
    std::unique_ptr<Twin> dx, dweight, dbias;
    explicit State(const ConstView& batch) : ones(batch) {}
  };
  auto state = std::make_shared<State>(ConstView(op.dy.data(), op.dy.type(), {op.dy.extent(0)}));
  state->ones.write(context, [](std::int64_t) { return 1.0; });
  Equal equal{.words = cublas_version(), .ours = runner(op)};
  const auto add = [&](const char* name, const View& ours, std::unique_ptr<Twin>& theirs) {
    if (!ours) return;
    theirs = std::make_unique<Twin>(ours);
    equal.results.push_back({name, ours, theirs->view()});
  };
  add("dx", op.dx, state->dx);
  add("dweight", op.dweight, state->dweight);
  add("dbias", op.dbias, state->dbias);
  equal.run = [=, cublas = cublas_handle(context)](const Context&) {
    if (op.dx) multiply(cublas, math, {op.weight}, {op.dy}, state->dx->view());
    if (op.dweight) multiply(cublas, math, {op.x}, {op.dy, true}, state->dweight->view());
    if (op.dbias) multiply(cublas, math, {op.dy}, {as_row(state->ones.view())}, as_row(state->dbias->view()));
  };
  return equal;
}

// NOTE: random numbers: on zeros a card stays cooler and runs faster. The same some, over and over.
void fill_random(const Context& context, const View& view) {
  const std::int64_t count = std::min<std::int64_t>(view.size(), 1 << 18);
  const Twin some({nullptr, view.type(), {count}}, view.type());
  kernels::Draw draw(1);
  some.write(context, [&](std::int64_t) { return draw.normal(); });
  const auto bytes = static_cast<std::size_t>(some.view().bytes()), all = static_cast<std::size_t>(view.bytes());
  for (std::size_t offset = 0; offset < all; offset += bytes) {
    cuda::copy_on_device(static_cast<std::byte*>(view.data()) + offset, some.view().data(), std::min(bytes, all - offset), context.stream());
  }
  context.synchronise();
}

}  // namespace

void add_linear(const Context& context, std::span<const Launch> launches, std::size_t launch, std::vector<Equal>& equals) {
  const Linear* forward = operation_of<Linear>(launches[launch]);
  const LinearBackward* backward = operation_of<LinearBackward>(launches[launch]);
  if (!forward && !backward) return;
  const DType type = forward ? forward->x.type() : backward->x.type();
  for (const Math math : maths_of(type)) {
    add_equal(equals, math, launch, [&] { return forward ? forward_of(context, *forward, math) : backward_of(context, *backward, math); });
  }
}

double product_rate(const Context& context, DType type, Math math) {
  const std::int64_t size = cuda::card().is_emulated ? 8 : 8192;
  const Shape square{size, size};
  const ConstView like(nullptr, type, square);
  const Twin left(like, type), right(like, type), result(like, type);
  fill_random(context, left.view());
  fill_random(context, right.view());
  const cublasHandle_t cublas = cublas_handle(context);
  double best = 0;
  for (int turn = 0; turn < 10; ++turn) {
    cuda::Event begin, end;
    begin.record(context.stream());
    multiply(cublas, math, {left.view()}, {right.view()}, result.view());
    end.record(context.stream());
    end.wait();
    // NOTE: the first is a warm-up.
    if (turn > 0) best = std::max(best, 2.0 * static_cast<double>(size * size * size) / end.seconds_since(begin));
  }
  return best;
}

std::string cublas_version() {
  int major = 0, minor = 0;
  require_success(cublasGetProperty(MAJOR_VERSION, &major), "cublasGetProperty");
  require_success(cublasGetProperty(MINOR_VERSION, &minor), "cublasGetProperty");
  return fmt::format("cuBLAS {}.{}", major, minor);
}

}  // namespace isda::vendor
