// SPDX-License-Identifier: Apache-2.0
// The journal of a training on the card: one thread, six words, one launch of a step.
#include "kernels/common/check.h"
#include "kernels/common/simt.cuh"
#include "kernels/journal/journal.h"

namespace isda::kernels {

namespace {

__global__ void journal_kernel(const float* loss, const int* correct, float* losses, int* hits, int* next_row, int rows) {
  const int row = *next_row;
  *next_row = row + 1;
  if (row >= rows) return;
  losses[row] = *loss;
  hits[row] = *correct;
}

}  // namespace

void run(Cuda, const Context& context, const Journal& op) {
  require(op.loss.type() == DType::f32, "[{}] the cuda device computes losses in f32, got {}; use --device reference for f64", op.name,
          name_of(op.loss.type()));
  // NOTE: nvcc 13 takes no designated list for an argument here.
  const LaunchShape shape{.name = op.name, .grid = 1, .block = 1};
  launch(context, shape, journal_kernel, op.loss.as<float>(), op.correct.as<std::int32_t>(), op.losses.as<float>(), op.hits.as<std::int32_t>(),
         op.row.as<std::int32_t>(), static_cast<int>(op.losses.size()));
}

}  // namespace isda::kernels
