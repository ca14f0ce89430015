// SPDX-License-Identifier: Apache-2.0
// What the adapters of cuDNN share: a handle, errors as exceptions, descriptors that free themselves.
#pragma once
#include <cudnn.h>

#include <memory>

#include "bench/vendor/vendor.h"

namespace isda::vendor {

// Throws Error with cuDNN's own words.
void require_success(cudnnStatus_t status, const char* function);

// cuDNN on the stream of the context. One a context; lives until the program ends.
cudnnHandle_t cudnn_handle(const Context& context);

inline cudnnDataType_t cudnn_type(DType type) { return type == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

// A descriptor of cuDNN's functions, made and freed in pairs: Owned<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>.
template <class Descriptor, cudnnStatus_t (*create)(Descriptor*), cudnnStatus_t (*destroy)(Descriptor)>
class Owned {
 public:
  Owned() { require_success(create(&descriptor_), "a descriptor"); }
  ~Owned() { destroy(descriptor_); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  Descriptor get() const { return descriptor_; }

 private:
  Descriptor descriptor_ = nullptr;
};

// N images of H x W pixels with C channels, the channels innermost.
class Images : public Owned<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor> {
 public:
  Images(DType type, std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t C) {
    require_success(cudnnSetTensor4dDescriptor(get(), CUDNN_TENSOR_NHWC, cudnn_type(type), static_cast<int>(N), static_cast<int>(C), static_cast<int>(H),
                                               static_cast<int>(W)),
                    "cudnnSetTensor4dDescriptor");
  }
  // (N,H,W,C); of another rank (...,C) as images of one pixel.
  explicit Images(const ConstView& view) : Images(view, view.shape().rank() == 4) {}

 private:
  Images(const ConstView& view, bool are_images)
      : Images(view.type(), are_images ? view.extent(0) : view.size() / view.extent(-1), are_images ? view.extent(1) : 1, are_images ? view.extent(2) : 1,
               view.extent(-1)) {}
};

}  // namespace isda::vendor
