// SPDX-License-Identifier: Apache-2.0
// What the rest of the house needs of a CUDA device: is there one, memory, copies, streams, events, graphs. No CUDA header is needed to use it.
//
// Three versions of it exist, chosen when a program is linked: the card (cuda_device.cu by nvcc), the emulator (the same file as C++, with
// kernels/emulator/ in the place of the CUDA runtime), and none (cuda_absent.cpp: everything but card() throws).
#pragma once
#include <cstddef>
#include <string>

struct CUstream_st;
struct CUevent_st;
struct CUgraphExec_st;

namespace isda::cuda {

// NOTE: a cudaStream_t, named without CUDA's headers.
using Stream = CUstream_st*;

struct Card {
  bool is_usable = false;
  std::string description;  // "NVIDIA H200, sm_90, 132 multiprocessors, 139.8 GiB"; else why there is none: "no driver: ..."
  bool is_emulated = false;
  int multiprocessors = 0;
  std::size_t bytes = 0;
};

// Asks the driver, and never throws.
Card find_card();
// The same, asked once.
const Card& card();
// Throws Error with the reason when no card can be used.
void require_card();

// Memory of the card, aligned to 256 bytes, not initialised. Throws Error with what was asked, what is free and what to lower.
void* allocate(std::size_t bytes);
// The same, but null when the card is full.
void* try_allocate(std::size_t bytes);
[[noreturn]] void fail_full(std::size_t bytes);
// What allocate() calls when the card is full, before it asks once more: it gives back what is only kept in reserve.
void set_reclaim(void (*reclaim)());
// NOTE: waits until the card has done everything it was asked: never inside a warm step.
void release(void* memory) noexcept;
// Page-locked host memory, which the card copies from and to by itself.
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* memory) noexcept;
struct FreeMemory {
  std::size_t free, total;
};
FreeMemory free_memory();

// Enqueued on the stream. Host memory must be page-locked and stay as it is until the stream has come by, or the call may wait for the copy.
void copy_to_device(void* to, const void* from, std::size_t bytes, Stream stream);
void copy_to_host(void* to, const void* from, std::size_t bytes, Stream stream);
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream);
void fill_bytes(void* to, int byte, std::size_t bytes, Stream stream);

Stream create_stream();
// Waits for all work of the stream: another stream may get its name.
void destroy_stream(Stream stream) noexcept;
// Waits for all work of the stream. Throws Error when a kernel failed, with the names of those launched since the last wait.
void synchronise(Stream stream);
bool is_capturing(Stream stream);

// A mark in a stream that others can wait for.
class Event {
 public:
  // is_timed: for seconds_since; an event that is only waited for costs less without.
  explicit Event(bool is_timed = true);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Stream stream);
  void wait() const;               // the host waits; at once when never recorded
  void hold(Stream stream) const;  // the stream waits, the host does not
  // Seconds from `begin` to this one, both recorded and passed.
  double seconds_since(const Event& begin) const;

 private:
  CUevent_st* event_ = nullptr;
};

// Work of a stream, recorded once and replayed as a whole: nothing in it is run while it is recorded.
class Graph {
 public:
  // Begins recording what the calling thread enqueues on the stream.
  explicit Graph(Stream stream);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Ends recording. Throws Error when something was done that a graph cannot hold: an allocation, a wait.
  void finish();
  void launch(Stream stream) const;
  std::size_t nodes() const { return nodes_; }

 private:
  Stream stream_;
  bool is_recording_ = true;
  CUgraphExec_st* executable_ = nullptr;
  std::size_t nodes_ = 0;
};

// A range in the profiler's time line (NVTX) with an operation's name.
class Range {
 public:
  explicit Range(const char* name);
  ~Range();
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace isda::cuda
