// SPDX-License-Identifier: Apache-2.0
// The functions of cuDNN's legacy API, each as its documentation defines it.
#include "kernels/emulator/cudnn.h"

#include <algorithm>
#include <limits>
#include <vector>

using namespace isda::emulator;

struct cudnnTensorStruct {
  Element type = Element::f32;
  std::int64_t n = 0, c = 0, h = 0, w = 0;
  bool are_channels_innermost = false;

  std::int64_t offset(std::int64_t i, std::int64_t channel, std::int64_t row, std::int64_t column) const {
    return are_channels_innermost ? ((i * h + row) * w + column) * c + channel : ((i * c + channel) * h + row) * w + column;
  }
  bool has_extents_of(const cudnnTensorStruct& other) const { return n == other.n && c == other.c && h == other.h && w == other.w; }
};

struct cudnnPoolingStruct {
  cudnnPoolingMode_t mode = CUDNN_POOLING_MAX;
  std::int64_t rows = 0, columns = 0, row_padding = 0, column_padding = 0, row_stride = 0, column_stride = 0;
};

namespace {

using Tensor = cudnnTensorStruct;

// What was at an offset becomes alpha * value + beta * it; with beta 0 it is not read.
struct Blend {
  double alpha, beta;

  Blend(const void* alpha_at, const void* beta_at) : alpha(*static_cast<const float*>(alpha_at)), beta(*static_cast<const float*>(beta_at)) {}
  void store(void* data, Element type, std::int64_t offset, double value) const {
    write_element(data, type, offset, alpha * value + (beta == 0 ? 0 : beta * read_element(data, type, offset)));
  }
};

// Calls body(offset in x) for every element of a channel.
template <class Body>
void for_channel(const Tensor& x, std::int64_t channel, Body&& body) {
  for_indices<3>({x.n, x.h, x.w}, [&](const auto& pixel) { body(x.offset(pixel[0], channel, pixel[1], pixel[2])); });
}

template <class Descriptor>
cudnnStatus_t create(Descriptor** descriptor) {
  *descriptor = new Descriptor;
  return CUDNN_STATUS_SUCCESS;
}
template <class Descriptor>
cudnnStatus_t destroy(Descriptor* descriptor) {
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}

// The windows of a pooling: for_each calls body(offset in pooled, offsets in wide of the pixels that lie inside).
struct Windows {
  cudnnPoolingStruct window;
  Tensor wide, pooled;

  bool fit() const {
    return wide.n == pooled.n && wide.c == pooled.c && pooled.h == (wide.h + 2 * window.row_padding - window.rows) / window.row_stride + 1 &&
           pooled.w == (wide.w + 2 * window.column_padding - window.columns) / window.column_stride + 1;
  }
  template <class Body>
  void for_each(Body&& body) const {
    std::vector<std::int64_t> inside;
    for_indices<4>({pooled.n, pooled.c, pooled.h, pooled.w}, [&](const auto& at) {
      inside.clear();
      for_indices<2>({window.rows, window.columns}, [&](const auto& tap) {
        const std::int64_t h = at[2] * window.row_stride + tap[0] - window.row_padding, w = at[3] * window.column_stride + tap[1] - window.column_padding;
        if (h >= 0 && h < wide.h && w >= 0 && w < wide.w) inside.push_back(wide.offset(at[0], at[1], h, w));
      });
      body(pooled.offset(at[0], at[1], at[2], at[3]), inside);
    });
  }
  double divisor(const std::vector<std::int64_t>& inside) const {
    return static_cast<double>(window.mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? window.rows * window.columns
                                                                                          : static_cast<std::int64_t>(inside.size()));
  }
};

}  // namespace

extern "C" {

size_t cudnnGetVersion() { return 90000; }
const char* cudnnGetErrorString(cudnnStatus_t status) { return status == CUDNN_STATUS_SUCCESS ? "success" : "an error of the emulated cuDNN"; }
void cudnnGetLastErrorString(char* message, size_t most) {
  if (most > 0) *message = 0;
}
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) { return create(handle); }
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) { return destroy(handle); }
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* descriptor) { return create(descriptor); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t descriptor) { return destroy(descriptor); }
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t descriptor, cudnnTensorFormat_t format, cudnnDataType_t type, int n, int c, int h, int w) {
  if (n < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  *descriptor = {element_type(type), n, c, h, w, format == CUDNN_TENSOR_NHWC};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSoftmaxForward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode, const void* alpha,
                                  cudnnTensorDescriptor_t x_of, const void* x, const void* beta, cudnnTensorDescriptor_t y_of, void* y) {
  if (algorithm == CUDNN_SOFTMAX_LOG || mode != CUDNN_SOFTMAX_MODE_INSTANCE) return CUDNN_STATUS_NOT_SUPPORTED;
  if (!x_of->has_extents_of(*y_of)) return CUDNN_STATUS_BAD_PARAM;
  return enqueue(handle, [=, of = *x_of, y_type = y_of->type, blend = Blend(alpha, beta)] {
    const std::int64_t count = of.c * of.h * of.w;
    for (std::int64_t i = 0; i < of.n; ++i) {
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::int64_t j = 0; j < count; ++j) largest = std::max(largest, read_element(x, of.type, i * count + j));
      for (std::int64_t j = 0; j < count; ++j) sum += std::exp(read_element(x, of.type, i * count + j) - largest);
      for (std::int64_t j = 0; j < count; ++j) blend.store(y, y_type, i * count + j, std::exp(read_element(x, of.type, i * count + j) - largest) / sum);
    }
  });
}

cudnnStatus_t cudnnCreatePoolingDescriptor(cudnnPoolingDescriptor_t* descriptor) { return create(descriptor); }
cudnnStatus_t cudnnDestroyPoolingDescriptor(cudnnPoolingDescriptor_t descriptor) { return destroy(descriptor); }
cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t descriptor, cudnnPoolingMode_t mode, cudnnNanPropagation_t, int rows, int columns,
                                          int row_padding, int column_padding, int row_stride, int column_stride) {
  *descriptor = {mode, rows, columns, row_padding, column_padding, row_stride, column_stride};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnPoolingForward(cudnnHandle_t handle, cudnnPoolingDescriptor_t pooling, const void* alpha, cudnnTensorDescriptor_t x_of, const void* x,
                                  const void* beta, cudnnTensorDescriptor_t y_of, void* y) {
  const Windows windows{*pooling, *x_of, *y_of};
  if (!windows.fit()) return CUDNN_STATUS_BAD_PARAM;
  return enqueue(handle, [=, blend = Blend(alpha, beta)] {
    windows.for_each([&](std::int64_t at, const std::vector<std::int64_t>& inside) {
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (const std::int64_t offset : inside) {
        largest = std::max(largest, read_element(x, windows.wide.type, offset));
        sum += read_element(x, windows.wide.type, offset);
      }
      blend.store(y, windows.pooled.type, at, windows.window.mode == CUDNN_POOLING_MAX ? largest : sum / windows.divisor(inside));
    });
  });
}

cudnnStatus_t cudnnPoolingBackward(cudnnHandle_t handle, cudnnPoolingDescriptor_t pooling, const void* alpha, cudnnTensorDescriptor_t y_of, const void* y,
                                   cudnnTensorDescriptor_t dy_of, const void* dy, cudnnTensorDescriptor_t x_of, const void* x, const void* beta,
                                   cudnnTensorDescriptor_t dx_of, void* dx) {
  const Windows windows{*pooling, *x_of, *y_of};
  if (!windows.fit() || !dy_of->has_extents_of(*y_of) || !dx_of->has_extents_of(*x_of)) return CUDNN_STATUS_BAD_PARAM;
  return enqueue(handle, [=, blend = Blend(alpha, beta)] {
    const Tensor &wide = windows.wide, &pooled = windows.pooled;
    const bool is_maximum = windows.window.mode == CUDNN_POOLING_MAX;
    std::vector<double> sums(static_cast<std::size_t>(wide.n * wide.c * wide.h * wide.w));
    windows.for_each([&](std::int64_t at, const std::vector<std::int64_t>& inside) {
      const double gradient = read_element(dy, pooled.type, at);
      for (const std::int64_t offset : inside) {
        // NOTE: of the maximum, all that equal it take part.
        const bool takes_part = !is_maximum || read_element(x, wide.type, offset) == read_element(y, pooled.type, at);
        if (takes_part) sums[static_cast<std::size_t>(offset)] += is_maximum ? gradient : gradient / windows.divisor(inside);
      }
    });
    for (std::size_t i = 0; i < sums.size(); ++i) blend.store(dx, wide.type, static_cast<std::int64_t>(i), sums[i]);
  });
}

cudnnStatus_t cudnnDeriveBNTensorDescriptor(cudnnTensorDescriptor_t derived, cudnnTensorDescriptor_t x_of, cudnnBatchNormMode_t mode) {
  if (mode == CUDNN_BATCHNORM_PER_ACTIVATION) return CUDNN_STATUS_NOT_SUPPORTED;
  *derived = {Element::f32, 1, x_of->c, 1, 1, x_of->are_channels_innermost};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, cudnnTensorDescriptor_t,
                                                                       cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t,
                                                                       cudnnActivationDescriptor_t, size_t* bytes) {
  *bytes = kWorkspace;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetBatchNormalizationBackwardExWorkspaceSize(cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, cudnnTensorDescriptor_t,
                                                                cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t,
                                                                cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnActivationDescriptor_t, size_t* bytes) {
  *bytes = kWorkspace;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetBatchNormalizationTrainingExReserveSpaceSize(cudnnHandle_t, cudnnBatchNormMode_t, cudnnBatchNormOps_t, cudnnActivationDescriptor_t,
                                                                   cudnnTensorDescriptor_t, size_t* bytes) {
  *bytes = kWorkspace;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBatchNormalizationForwardTrainingEx(cudnnHandle_t handle, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const void* alpha, const void* beta,
                                                       cudnnTensorDescriptor_t x_of, const void* x, cudnnTensorDescriptor_t, const void*,
                                                       cudnnTensorDescriptor_t y_of, void* y, cudnnTensorDescriptor_t channels, const void* scale,
                                                       const void* bias, double momentum, void* running_mean, void* running_variance, double epsilon,
                                                       void* mean, void* invstd, cudnnActivationDescriptor_t activation, void* workspace,
                                                       size_t workspace_bytes, void* reserve, size_t reserve_bytes) {
  if (!x_of->has_extents_of(*y_of) || channels->c != x_of->c || activation || !workspace || workspace_bytes < kWorkspace || !reserve ||
      reserve_bytes < kWorkspace) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  return enqueue(handle, [=, of = *x_of, y_type = y_of->type, blend = Blend(alpha, beta)] {
    const double M = static_cast<double>(of.n * of.h * of.w);
    const auto update = [&](void* running, std::int64_t c, double now) {
      write_element(running, Element::f32, c, (1 - momentum) * read_element(running, Element::f32, c) + momentum * now);
    };
    for (std::int64_t c = 0; c < of.c; ++c) {
      double sum = 0, squares = 0;
      for_channel(of, c, [&](std::int64_t at) { sum += read_element(x, of.type, at); });
      for_channel(of, c, [&](std::int64_t at) { squares += (read_element(x, of.type, at) - sum / M) * (read_element(x, of.type, at) - sum / M); });
      const double factor = 1 / std::sqrt(squares / M + epsilon);
      write_element(mean, Element::f32, c, sum / M);
      write_element(invstd, Element::f32, c, factor);
      update(running_mean, c, sum / M);
      update(running_variance, c, squares / (M - 1));
      for_channel(of, c, [&](std::int64_t at) {
        const double normalised = (read_element(x, of.type, at) - sum / M) * factor;
        blend.store(y, y_type, at, normalised * read_element(scale, Element::f32, c) + read_element(bias, Element::f32, c));
      });
    }
  });
}

cudnnStatus_t cudnnBatchNormalizationBackwardEx(cudnnHandle_t handle, cudnnBatchNormMode_t, cudnnBatchNormOps_t, const void* data_alpha, const void* data_beta,
                                                const void* parameter_alpha, const void* parameter_beta, cudnnTensorDescriptor_t x_of, const void* x,
                                                cudnnTensorDescriptor_t, const void*, cudnnTensorDescriptor_t dy_of, const void* dy, cudnnTensorDescriptor_t,
                                                void*, cudnnTensorDescriptor_t dx_of, void* dx, cudnnTensorDescriptor_t channels, const void* scale,
                                                const void*, void* dscale, void* dbias, double, const void* mean, const void* invstd,
                                                cudnnActivationDescriptor_t activation, void* workspace, size_t workspace_bytes, void* reserve,
                                                size_t reserve_bytes) {
  if (!x_of->has_extents_of(*dy_of) || !x_of->has_extents_of(*dx_of) || channels->c != x_of->c || activation || !workspace || workspace_bytes < kWorkspace ||
      !reserve || reserve_bytes < kWorkspace) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  return enqueue(handle, [=, of = *x_of, dy_type = dy_of->type, dx_type = dx_of->type, data = Blend(data_alpha, data_beta),
                          parameters = Blend(parameter_alpha, parameter_beta)] {
    const double M = static_cast<double>(of.n * of.h * of.w);
    for (std::int64_t c = 0; c < of.c; ++c) {
      const double centre = read_element(mean, Element::f32, c), factor = read_element(invstd, Element::f32, c);
      const auto normalised = [&](std::int64_t at) { return (read_element(x, of.type, at) - centre) * factor; };
      double sum = 0, sum_normalised = 0;
      for_channel(of, c, [&](std::int64_t at) {
        sum += read_element(dy, dy_type, at);
        sum_normalised += read_element(dy, dy_type, at) * normalised(at);
      });
      parameters.store(dscale, Element::f32, c, sum_normalised);
      parameters.store(dbias, Element::f32, c, sum);
      for_channel(of, c, [&](std::int64_t at) {
        data.store(dx, dx_type, at,
                   read_element(scale, Element::f32, c) * factor * (read_element(dy, dy_type, at) - sum / M - normalised(at) * sum_normalised / M));
      });
    }
  });
}

}  // extern "C"
