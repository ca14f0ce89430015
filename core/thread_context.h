// SPDX-License-Identifier: Apache-2.0
// What each thread has of a device, made when it is first asked for: a context, and for the card a stream of its own with staging memory.
//
// So threads do not disturb one another, and what one of them enqueues on the card runs in that order. Between threads nothing is ordered:
// who hands a tensor on the card to another thread calls synchronise() on the context first.
#pragma once
#include "core/staging.h"
#include "kernels/common/context.h"
#include "kernels/common/cuda_device.h"

namespace isda {

// The calling thread's context for operations on `device`.
const Context& context_of(Device device);
// How many threads operations on the cpu device may use, in all threads' contexts; 0 = as many as OpenMP offers.
void set_threads(int threads);
// How operations on the card multiply f32, in all threads' contexts, from when they are next asked for. A recorded graph keeps what it was recorded with.
void set_f32_products(F32Products products);

// The stream of the calling thread's context on the card; null where it has none, and so has never enqueued anything.
cuda::Stream stream_of_thread() noexcept;
// The way of the calling thread from the host's memory to the card's.
Staging& staging_of_thread();

}  // namespace isda
