// SPDX-License-Identifier: Apache-2.0
// Parameters in f32, computing in bf16.   Micikevicius et al., Mixed Precision Training, 2018, section 3.1.
//
// A weight that activations are multiplied with is kept twice under bf16: the parameter, f32, to which the small steps of training add up, and a copy
// rounded to bf16, which the network computes with. The optimizer's step writes both (kernels/sgd); whoever else writes a parameter refreshes its copy.
// Gradients, momenta, normalisation and statistics are f32 in any case, and so are the classifier and ISDA.
#pragma once
#include "core/tensor.h"

namespace isda {

// From now on `parameter` has a copy. `parameter` must be a leaf of f32.
void keep_bf16_copy(const Tensor& parameter);

// Undefined where there is none.
Tensor bf16_copy_of(const Tensor& parameter);

// What activations are multiplied with: the copy, or the parameter itself where it has none. Without history: gradients are the parameter's.
Tensor operand_of(const Tensor& parameter);

// After a parameter was written by others than the optimizer; nothing where there is no copy. On the card the host converts: not for a step.
void refresh_bf16_copy(const Tensor& parameter);

}  // namespace isda
