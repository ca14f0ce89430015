// SPDX-License-Identifier: Apache-2.0
#include "bench/vendor/cudnn.h"

#include <map>

namespace isda::vendor {

void require_success(cudnnStatus_t status, const char* function) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char story[512] = {};
  cudnnGetLastErrorString(story, sizeof(story));
  fail("[vendor] {}: {} {}", function, cudnnGetErrorString(status), story);
}

cudnnHandle_t cudnn_handle(const Context& context) {
  // NOTE: never destroyed: when the program ends the driver may be gone before what is static here.
  static auto& handles = *new std::map<CUstream_st*, cudnnHandle_t>;
  cudnnHandle_t& handle = handles[context.stream()];
  if (!handle) {
    require_success(cudnnCreate(&handle), "cudnnCreate");
    require_success(cudnnSetStream(handle, context.stream()), "cudnnSetStream");
  }
  return handle;
}

std::string cudnn_version() {
  const std::size_t version = cudnnGetVersion();
  return fmt::format("cuDNN {}.{}", version / 10000, version / 100 % 100);
}

}  // namespace isda::vendor
