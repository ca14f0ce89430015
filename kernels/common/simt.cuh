// SPDX-License-Identifier: Apache-2.0
// The one header a kernel file includes beside its operation's: CUDA, the launch, 16-byte accesses, what a warp does together.
// Tensor cores and asynchronous copies: kernels/common/ptx.cuh.
#pragma once
#include "kernels/common/cuda.cuh"
#include "kernels/common/dtype.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/packed.cuh"
#include "kernels/common/warp.cuh"
