// SPDX-License-Identifier: Apache-2.0
// What the emulator tells AddressSanitizer, ThreadSanitizer and MemorySanitizer. Without them every function here is empty.
//
// The emulator itself is never compiled with a sanitizer, only told which one the kernels are compiled with, by ISDA_EMULATOR_ADDRESS,
// ISDA_EMULATOR_THREAD or ISDA_EMULATOR_MEMORY: instrumenting the scheduler costs four times the time and reports the scheduler's own sharing.
#pragma once
#include <cstddef>

#if defined(ISDA_EMULATOR_ADDRESS)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(ISDA_EMULATOR_THREAD)
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_read_range(void* begin, unsigned long bytes);
extern "C" void __tsan_write_range(void* begin, unsigned long bytes);
extern "C" void __tsan_ignore_thread_begin();
extern "C" void __tsan_ignore_thread_end();
#endif
#if defined(ISDA_EMULATOR_MEMORY)
#include <sanitizer/msan_interface.h>
#include <cstdint>
extern "C" thread_local std::uint64_t __msan_retval_tls[100];
extern "C" thread_local std::uint64_t __msan_param_tls[100];
extern "C" void* __msan_memcpy(void* to, const void* from, std::size_t bytes);
#endif

namespace isda::emulator::sanitizer {

// ---- AddressSanitizer: which bytes may be touched ----

inline void forbid([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_ADDRESS)
  __asan_poison_memory_region(begin, bytes);
#endif
}

inline void permit([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_ADDRESS)
  __asan_unpoison_memory_region(begin, bytes);
#endif
}

// Whether AddressSanitizer would report a touch of some of these bytes.
inline bool is_forbidden([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_ADDRESS)
  return bytes && __asan_region_is_poisoned(const_cast<void*>(begin), bytes);
#else
  return false;
#endif
}

// Has AddressSanitizer report the first of these bytes that may not be touched, with its own story of that memory.
inline void report_forbidden([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_ADDRESS)
  void* first = __asan_region_is_poisoned(const_cast<void*>(begin), bytes);
  if (first) __asan_report_error(__builtin_return_address(0), __builtin_frame_address(0), __builtin_frame_address(0), first, 0, 1);
#endif
}

// ---- ThreadSanitizer: what happens before what ----

#if defined(ISDA_EMULATOR_THREAD)
inline constexpr bool kSeesRaces = true;
#else
inline constexpr bool kSeesRaces = false;
#endif

// What a thread leaves by release(), a later acquire() of the same token finds: everything before the one lies before everything behind the other.
struct Token {
  char unused;
};

inline void release([[maybe_unused]] Token* token) {
#if defined(ISDA_EMULATOR_THREAD)
  __tsan_release(token);
#endif
}

inline void acquire([[maybe_unused]] Token* token) {
#if defined(ISDA_EMULATOR_THREAD)
  __tsan_acquire(token);
#endif
}

// While one lives, ThreadSanitizer does not see what the calling thread reads, writes and frees: the emulator's own work, which on a card nobody does.
class Unseen {
 public:
#if defined(ISDA_EMULATOR_THREAD)
  Unseen() { __tsan_ignore_thread_begin(); }
  ~Unseen() { __tsan_ignore_thread_end(); }
#else
  // NOTE: not trivial, or the compiler would call every variable of it unused.
  Unseen() {}
#endif
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};

// An access that the emulator makes for the running thread.
inline void touch_for_read([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_THREAD)
  if (bytes) __tsan_read_range(const_cast<void*>(begin), bytes);
#endif
}

inline void touch_for_write([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_THREAD)
  __tsan_write_range(begin, bytes);
#endif
}

// ---- MemorySanitizer: which bytes hold a value ----

inline void mark_uninitialised([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_MEMORY)
  __msan_poison(begin, bytes);
#endif
}

inline void mark_initialised([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_MEMORY)
  __msan_unpoison(begin, bytes);
#endif
}

// As memcpy, and what held no value holds none there.
inline void copy_with_state(void* to, const void* from, std::size_t bytes) {
#if defined(ISDA_EMULATOR_MEMORY)
  __msan_memcpy(to, from, bytes);
#else
  __builtin_memcpy(to, from, bytes);
#endif
}

inline bool is_initialised([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_MEMORY)
  return __msan_test_shadow(begin, bytes) < 0;
#else
  return true;
#endif
}

// Reports the first of these bytes that holds no value.
inline void check_initialised([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(ISDA_EMULATOR_MEMORY)
  __msan_check_mem_is_initialized(begin, bytes);
#endif
}

// NOTE: the emulator is not instrumented, so what it returns to a kernel, or calls one with, would carry the shadow of whatever was there before.
inline void mark_result_initialised() {
#if defined(ISDA_EMULATOR_MEMORY)
  for (auto& word : __msan_retval_tls) word = 0;
  for (auto& word : __msan_param_tls) word = 0;
#endif
}

// ---- Switching between fibers ----

inline void leave([[maybe_unused]] void** asan_stack, [[maybe_unused]] const void* to_stack, [[maybe_unused]] std::size_t to_bytes,
                  [[maybe_unused]] void* to_tsan_fiber) {
#if defined(ISDA_EMULATOR_ADDRESS)
  __sanitizer_start_switch_fiber(asan_stack, to_stack, to_bytes);
#endif
#if defined(ISDA_EMULATOR_THREAD)
  __tsan_switch_to_fiber(to_tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
}

inline void arrive([[maybe_unused]] void* asan_stack) {
#if defined(ISDA_EMULATOR_ADDRESS)
  __sanitizer_finish_switch_fiber(asan_stack, nullptr, nullptr);
#endif
  mark_result_initialised();
}

inline void* current_tsan_fiber() {
#if defined(ISDA_EMULATOR_THREAD)
  return __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}

// The same stack from now on counts as another thread's.
inline void act_as([[maybe_unused]] void* tsan_fiber) {
#if defined(ISDA_EMULATOR_THREAD)
  __tsan_switch_to_fiber(tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
}

inline void* create_tsan_fiber() {
#if defined(ISDA_EMULATOR_THREAD)
  return __tsan_create_fiber(0);
#else
  return nullptr;
#endif
}

// As reports of races call the thread.
inline void name_tsan_fiber([[maybe_unused]] void* fiber, [[maybe_unused]] const char* name) {
#if defined(ISDA_EMULATOR_THREAD)
  __tsan_set_fiber_name(fiber, name);
#endif
}

inline void destroy_tsan_fiber([[maybe_unused]] void* fiber) {
#if defined(ISDA_EMULATOR_THREAD)
  __tsan_destroy_fiber(fiber);
#endif
}

}  // namespace isda::emulator::sanitizer
