// SPDX-License-Identifier: Apache-2.0
// The one parallel loop of the cpu device, on OpenMP.
//
// The body sees one index of fixed meaning at a time, so that the result does not depend on the number of threads:
// what is summed over indices is written to one partial per index and added in order by the caller.
#pragma once
#include <omp.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <type_traits>

#include "kernels/common/context.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace isda {

namespace parallel_detail {
// NOTE: ThreadSanitizer does not see the barriers of an OpenMP runtime that was built without it; these tell it.
inline void happens_before([[maybe_unused]] void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(token);
#endif
}
inline void happens_after([[maybe_unused]] void* token) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(token);
#endif
}
}  // namespace parallel_detail

// Calls body(index) or body(index, thread) for every index in [0, count). thread < context.threads() selects a thread's own
// temporaries. The first exception of a body is thrown again here. Inside a parallel region it runs serially.
// NOTE: the compiler hands the captured variables to the threads in a struct of its own, behind happens_before; of that, and of
// nothing in the bodies, ThreadSanitizer is not to think.
template <class Body>
__attribute__((no_sanitize("thread"))) void parallel_for(const Context& context, std::int64_t count, Body&& body) {
  const auto call = [&](std::int64_t index, [[maybe_unused]] int thread) {
    if constexpr (std::is_invocable_v<Body&, std::int64_t, int>)
      body(index, thread);
    else
      body(index);
  };
  const int threads = static_cast<int>(context.threads() < count ? context.threads() : count);
  if (threads <= 1 || omp_in_parallel()) {
    for (std::int64_t index = 0; index < count; ++index) call(index, 0);
    return;
  }
  std::exception_ptr error;
  std::atomic_flag has_error = ATOMIC_FLAG_INIT;
  char begin = 0, end = 0;
  parallel_detail::happens_before(&begin);
#pragma omp parallel num_threads(threads)
  {
    parallel_detail::happens_after(&begin);
    const int thread = omp_get_thread_num();
#pragma omp for schedule(static)
    for (std::int64_t index = 0; index < count; ++index) {
      try {
        call(index, thread);
      } catch (...) {
        if (!has_error.test_and_set()) error = std::current_exception();
      }
    }
    parallel_detail::happens_before(&end);
  }
  parallel_detail::happens_after(&end);
  if (error) std::rethrow_exception(error);
}

// Calls body(begin, end) for consecutive ranges that cover [0, count): the element-wise loops. `grain`: elements a range.
template <class Body>
void parallel_ranges(const Context& context, std::int64_t count, std::int64_t grain, Body&& body) {
  parallel_for(context, (count + grain - 1) / grain, [&](std::int64_t range) {
    const std::int64_t begin = range * grain;
    body(begin, begin + grain < count ? begin + grain : count);
  });
}

// The grain that gives parallel_ranges one range a thread, or one range in all where `flop` would not pay for waking the threads.
// NOTE: only for bodies whose result for an index does not depend on the range it is in.
inline std::int64_t grain_of(const Context& context, std::int64_t count, double flop) {
  constexpr double kFlopWorthThreads = 5e5;
  const std::int64_t ranges = flop < kFlopWorthThreads ? 1 : context.threads();
  return count > ranges ? (count + ranges - 1) / ranges : 1;
}

}  // namespace isda
