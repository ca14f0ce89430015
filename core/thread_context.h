// SPDX-License-Identifier: Apache-2.0
// What each thread has of a device, made when it is first asked for: a context, and for the card a stream of its own with staging memory, and a second
// stream for work beside it.
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

// Work of the card beside the calling thread's stream, in a graph as well as outside:
//
//   run(fork_branch(), operation);     // begins when what was enqueued on the thread's stream so far is done
//   ...                                // meanwhile goes on there
//   join_branch();                     // what is enqueued on the thread's stream from now on waits for the branch
//
// NOTE: the tensors of the operation are taken before the fork and live until the join: the memory pool knows the thread's stream only.
const Context& fork_branch();
void join_branch();
// Its context, to redirect its scratch memory (core/graph_memory.h).
const Context& branch_of_thread();

// The stream of the calling thread's context on the card; null where it has none, and so has never enqueued anything.
cuda::Stream stream_of_thread() noexcept;
// The way of the calling thread from the host's memory to the card's.
Staging& staging_of_thread();

}  // namespace isda
