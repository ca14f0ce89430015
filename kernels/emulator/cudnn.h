// SPDX-License-Identifier: Apache-2.0
// What the files that stand in for cuDNN share.
#pragma once
#include <cudnn.h>

#include "kernels/emulator/elements.h"
#include "kernels/emulator/machine.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace isda::emulator {

inline constexpr std::size_t kWorkspace = 256;  // what everything asks for, and checks that it gets

inline Element element_type(cudnnDataType_t type) { return type == CUDNN_DATA_FLOAT ? Element::f32 : Element::bf16; }

// Work of the handle's stream on the card's memory.
template <class Work>
cudnnStatus_t enqueue(cudnnHandle_t handle, Work work) {
  SIMT_API_LOCK;
  const cudaError_t status = submit(handle->stream, [work = std::move(work)] {
    const OnTheCard on_the_card;
    work();
  });
  return status == cudaSuccess ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

}  // namespace isda::emulator
