// SPDX-License-Identifier: Apache-2.0
#include <cublas_v2.h>

#include <cstdint>

#include "kernels/emulator/elements.h"
#include "kernels/emulator/machine.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
};

namespace isda::emulator {

namespace {

Element element_type(cudaDataType_t type) { return type == CUDA_R_32F ? Element::f32 : Element::bf16; }

// A column-major matrix of f32 or bf16; element(i, j) is that of its transpose where it is transposed.
struct Matrix {
  const void* data;
  cudaDataType_t type;
  std::int64_t leading;
  bool is_transposed;
  bool rounds_to_tf32 = false;

  double element(std::int64_t row, std::int64_t column) const {
    const double value = read_element(data, element_type(type), is_transposed ? column + row * leading : row + column * leading);
    return rounds_to_tf32 ? to_tf32(value) : value;
  }
};

bool is_supported(cudaDataType_t type) { return type == CUDA_R_32F || type == CUDA_R_16BF; }

}  // namespace

}  // namespace isda::emulator

using namespace isda::emulator;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void*, size_t) { return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED; }
cublasStatus_t cublasGetProperty(libraryPropertyType, int* value) {
  *value = 0;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusString(cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS ? "success" : "an error of the emulated cuBLAS"; }

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transpose_a, cublasOperation_t transpose_b, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType_t a_type, int lda, const void* b, cudaDataType_t b_type, int ldb, const void* beta, void* c,
                            cudaDataType_t c_type, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t) {
  SIMT_API_LOCK;
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!is_supported(a_type) || !is_supported(b_type) || !is_supported(c_type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool is_a_transposed = transpose_a == CUBLAS_OP_T, is_b_transposed = transpose_b == CUBLAS_OP_T;
  if (m < 0 || n < 0 || k < 0 || lda < (is_a_transposed ? k : m) || ldb < (is_b_transposed ? n : k) || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
  const bool is_tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const Matrix left{a, a_type, lda, is_a_transposed, is_tf32}, right{b, b_type, ldb, is_b_transposed, is_tf32}, old{c, c_type, ldc, false};
  // NOTE: the factors are read now, as with cuBLAS's default pointer mode (host).
  const double scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  const cudaError_t status = submit(handle->stream, [=] {
    const OnTheCard on_the_card;
    for (std::int64_t column = 0; column < n; ++column) {
      for (std::int64_t row = 0; row < m; ++row) {
        double sum = 0;
        for (std::int64_t i = 0; i < k; ++i) sum += left.element(row, i) * right.element(i, column);
        // NOTE: with beta 0 the old value is not read: it may be NaN.
        write_element(c, element_type(c_type), row + column * ldc, scale * sum + (keep == 0 ? 0 : keep * old.element(row, column)));
      }
    }
  });
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transpose_a, cublasOperation_t transpose_b, int m, int n, int k, const float* alpha,
                              const float* a, int lda, const float* b, int ldb, const float* beta, float* c, int ldc) {
  return cublasGemmEx(handle, transpose_a, transpose_b, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F,
                      CUBLAS_GEMM_DEFAULT);
}

}  // extern "C"
