// SPDX-License-Identifier: Apache-2.0
// Every stride-th pixel, and every stride-th of the image shifted by one pixel right and down, as channels: x (N,H,W,C) -> (N,P,Q,2C).
// kernels/two_flows/two_flows.h
#pragma once
#include "core/tensor.h"

namespace isda {

Tensor two_flows(const Tensor& x, int stride);

}  // namespace isda
