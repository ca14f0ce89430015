// SPDX-License-Identifier: Apache-2.0
// A fiber: a stack and a place on it, between which one OS thread goes back and forth. One CUDA thread runs on each.
//
// The switch saves the six registers that the x86-64 System V ABI leaves to the callee, exchanges the stack pointer and jumps: about 10 ns.
// Other processors take ucontext (about 700 ns: it asks the kernel for the signal mask).
// The sanitizers are told of every switch, or they would take one fiber's stack for another's.
#pragma once
#include <cstddef>

#include "kernels/emulator/sanitizers.h"

#if !defined(__x86_64__) || defined(ISDA_EMULATOR_UCONTEXT)
#define SIMT_UCONTEXT 1
#include <ucontext.h>
#endif

namespace isda::emulator {

struct Fiber {
  std::byte* stack = nullptr;  // the lowest address; below it lies a page that must not be touched
  std::size_t stack_bytes = 0;
  void* asan_stack = nullptr;
  void* tsan_fiber = nullptr;
#if defined(SIMT_UCONTEXT)
  ucontext_t place{};
#else
  void* stack_pointer = nullptr;
#endif
};

// A fiber of its own stack. Call prepare before the first switch to it.
void create(Fiber& fiber, std::size_t stack_bytes);
// Makes the fiber of the calling OS thread, on the stack it has.
void adopt_thread(Fiber& fiber);
// The next switch to the fiber begins entry() on an empty stack. entry must never return.
// NOTE: colour shifts the stack by some cache lines, so that equal frames of many fibers do not meet in one cache set.
void prepare(Fiber& fiber, void (*entry)(), unsigned colour);
// For a fiber that was left in the middle: sanitizers forget what was on its stack.
void abandon(Fiber& fiber);

#if !defined(SIMT_UCONTEXT)
extern "C" void isda_emulator_switch(void** save, void* load);
#endif

// Leaves `from`, goes on with `to`; returns when somebody switches back. is_last: `from` will never be switched to again.
inline void switch_fiber(Fiber& from, Fiber& to, bool is_last = false) {
  sanitizer::leave(is_last ? nullptr : &from.asan_stack, to.stack, to.stack_bytes, to.tsan_fiber);
#if defined(SIMT_UCONTEXT)
  swapcontext(&from.place, &to.place);
#else
  isda_emulator_switch(&from.stack_pointer, to.stack_pointer);
#endif
  sanitizer::arrive(from.asan_stack);
}

}  // namespace isda::emulator
