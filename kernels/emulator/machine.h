// SPDX-License-Identifier: Apache-2.0
// The emulated card as the host sees it: its memory, its streams, its errors. Shared by the files that stand in for the CUDA runtime API.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "kernels/emulator/sanitizers.h"

namespace isda::emulator {

// One call of the API at a time, whichever host thread makes it.
std::recursive_mutex& api_lock();
struct ApiCall {
  explicit ApiCall(const char* function);  // counted (emulator.h: api_calls)
  std::lock_guard<std::recursive_mutex> lock{api_lock()};
  sanitizer::Unseen unseen;
};
#define SIMT_API_LOCK const ::isda::emulator::ApiCall api_call(__func__)

// ---- errors (device.cpp) ----

// Remembers an error for cudaGetLastError, with a word for the report, and returns it.
cudaError_t failed(cudaError_t error, const std::string& story = "");
// An error of a kernel, which stays.
void set_sticky_error(cudaError_t error, const std::string& story);
cudaError_t sticky_error();

// ---- memory (device_memory.cpp) ----

// The allocation that holds [pointer, pointer + bytes) on the card or, is_pinned, in page-locked host memory.
bool is_device_memory(const void* pointer, std::size_t bytes = 1);
bool is_pinned_memory(const void* pointer);
// Where something was written just before or behind an allocation of the card since the last call, in words; empty when nowhere.
// NOTE: for builds without AddressSanitizer, which names the line at once.
std::string written_outside_allocations();
// While a kernel or a copy runs on the card its memory may be touched; at all other times AddressSanitizer reports it.
class OnTheCard {
 public:
  OnTheCard();
  ~OnTheCard();
  OnTheCard(const OnTheCard&) = delete;
  OnTheCard& operator=(const OnTheCard&) = delete;
};

// ---- streams (streams.cpp) ----

// What a stream does when it comes to it.
using Work = std::function<void()>;
cudaError_t submit(cudaStream_t stream, Work work);
bool is_capturing(cudaStream_t stream);
// Whether any stream is being captured: allocations and synchronisation are then errors.
cudaError_t refuse_while_capturing(const char* function);
void drain_all_streams();
void forget_all_work();

}  // namespace isda::emulator
