// SPDX-License-Identifier: Apache-2.0
// What the emulated CUDA language (language.cuh, ptx.cuh) asks of the emulator while a kernel runs. Every function acts for the running thread.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/emulator/location.h"

namespace isda::emulator {

// Ends the launch with an error: "MESSAGE, by thread (3,0,0) of block (1,0,0) at FILE:LINE".
[[noreturn]] void fail(std::string message, const Location& where);

// ---- who is running ----
unsigned lane();
unsigned running_lanes();  // of this warp: those that have not exited

// ---- waiting for others ----
// __syncthreads. The value: how many threads brought a true predicate, in the form asked for.
enum class Vote : std::uint8_t { count, all, any };
int barrier(Vote vote, bool predicate, const Location& where);

// A rendezvous of the lanes in `mask`: the last to come runs meet(operands of each lane, mask) for all of them.
// Every lane must come with the same mask and kind. Operands live on the lanes' stacks.
using Meet = void (*)(void* const* operands, unsigned mask);
struct Collective {
  const char* name;              // "__shfl_xor_sync"
  Meet meet;                     // may be null
  bool orders_memory = false;    // what lanes wrote before is seen by the others after: true for __syncwarp alone
  bool needs_full_warp = false;  // .aligned PTX: all 32 lanes must exist and come
};
void meet(unsigned mask, const Collective& collective, void* operands, const Location& where);

// What a card leaves undefined: here NaN, and for MemorySanitizer no value.
void make_undefined(void* begin, std::size_t bytes);

// Where another thread may go on in the random orders: atomics, fences, asynchronous copies.
void yield();
// Reports an atomic sum of floats, in strict mode.
void check_float_atomic(const Location& where);
// What the thread wrote before its fence is seen behind theirs by those whose fence comes later: on the card, or only in the block.
void fence(bool is_of_block);

// ---- shared memory ----
int next_shared_variable();
// The memory of a SIMT_SHARED variable in the running block.
void* shared_variable(int variable, std::size_t bytes, std::size_t alignment, const Location& where);
void* dynamic_shared(const Location& where);
// The next piece of dynamic shared memory, with forbidden bytes around it; every thread must carve the same pieces.
void* carve(std::size_t bytes, std::size_t alignment, const Location& where);
// Fails unless [pointer, pointer + bytes) lies in one shared array, aligned to `alignment`.
void check_shared(const void* pointer, std::size_t bytes, std::size_t alignment, const char* what, const Location& where);
std::uint32_t shared_address(const void* pointer);

// ---- cp.async ----
void async_copy(void* to, const void* from, unsigned bytes, unsigned source_bytes, const Location& where);
void async_commit();
void async_wait(unsigned groups_left);

// ---- launching ----
struct Launch {
  const char* name;
  dim3 grid, block;
  std::size_t shared_bytes;
  void (*invoke)(const void* arguments);
  std::vector<const void*> (*pointers)(const void* arguments);  // the arguments by position; null where one is no pointer to data
  const void* arguments;
};

// Kernel and arguments, kept until the stream comes to them.
template <class... Parameters>
struct BoundKernel {
  void (*kernel)(Parameters...);
  std::tuple<std::remove_cv_t<Parameters>...> arguments;

  static void invoke(const void* self) {
    const auto& bound = *static_cast<const BoundKernel*>(self);
    // NOTE: not std::apply, whose five frames would stand in every report.
    [&]<std::size_t... i>(std::index_sequence<i...>) { bound.kernel(std::get<i>(bound.arguments)...); }
    (std::index_sequence_for<Parameters...>());
  }
  static std::vector<const void*> pointers(const void* self) {
    const auto pointer = []<class T>(const T& argument) -> const void* {
      if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>)
        return argument;
      else
        return nullptr;
    };
    return std::apply([&](const auto&... each) { return std::vector<const void*>{pointer(each)...}; }, static_cast<const BoundKernel*>(self)->arguments);
  }
};

// Takes ownership of `bound`. Returns what the launch itself can know: a configuration no card accepts, or an earlier failure.
cudaError_t enqueue(const Launch& launch, void* bound, void (*destroy)(void*), cudaStream_t stream);

}  // namespace isda::emulator
