// SPDX-License-Identifier: Apache-2.0
#include "kernels/emulator/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace isda::emulator {

namespace {
constexpr std::size_t kPage = 4096;
}

#if !defined(SIMT_UCONTEXT)
// NOTE: it ends in a jump to the popped address, not in ret: a ret that does not match its call misleads the processor's
// return predictor, which costs 20 ns more.
asm(R"(
.text
.globl isda_emulator_switch
.type isda_emulator_switch,@function
isda_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmpq *%rcx
.size isda_emulator_switch,.-isda_emulator_switch
)");
#endif

void create(Fiber& fiber, std::size_t stack_bytes) {
  void* memory = mmap(nullptr, stack_bytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // An overflow of the stack meets a page that cannot be touched.
  mprotect(memory, kPage, PROT_NONE);
  fiber.stack = static_cast<std::byte*>(memory) + kPage;
  fiber.stack_bytes = stack_bytes;
  fiber.tsan_fiber = sanitizer::create_tsan_fiber();
}

void adopt_thread(Fiber& fiber) {
  // NOTE: asking for the main thread's stack reads /proc/self/maps, which takes a millisecond: once a thread.
  thread_local void* stack = nullptr;
  thread_local std::size_t bytes = 0;
  if (!stack) {
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &stack, &bytes);
    pthread_attr_destroy(&attributes);
  }
  fiber.stack = static_cast<std::byte*>(stack);
  fiber.stack_bytes = bytes;
  fiber.tsan_fiber = sanitizer::current_tsan_fiber();
}

void prepare(Fiber& fiber, void (*entry)(), unsigned colour) {
  fiber.asan_stack = nullptr;
  const std::size_t shift = colour % 61 * 64;
#if defined(SIMT_UCONTEXT)
  getcontext(&fiber.place);
  fiber.place.uc_stack.ss_sp = fiber.stack;
  fiber.place.uc_stack.ss_size = fiber.stack_bytes - shift;
  fiber.place.uc_link = nullptr;
  makecontext(&fiber.place, entry, 0);
#else
  // The stack as the switch expects it: six registers, then the address to go on at. The ABI wants 16-byte alignment before a call.
  auto* top = reinterpret_cast<void**>((reinterpret_cast<std::uintptr_t>(fiber.stack + fiber.stack_bytes - shift)) & ~std::uintptr_t{15});
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int reg = 0; reg < 6; ++reg) *--top = nullptr;
  fiber.stack_pointer = top;
#endif
}

void abandon(Fiber& fiber) {
  sanitizer::permit(fiber.stack, fiber.stack_bytes);
  if (fiber.tsan_fiber) {
    sanitizer::destroy_tsan_fiber(fiber.tsan_fiber);
    fiber.tsan_fiber = sanitizer::create_tsan_fiber();
  }
}

}  // namespace isda::emulator
