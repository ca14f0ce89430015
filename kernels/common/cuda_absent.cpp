// SPDX-License-Identifier: Apache-2.0
// A program without CUDA. NOTE: it lies in the library of the floor, and cuda_device.cu among a program's objects: a linker takes this file only
// where the other is not there.
#include "kernels/common/cuda_device.h"
#include "kernels/common/error.h"

namespace isda::cuda {

namespace {

[[noreturn]] void absent() {
  fail("[cuda] this build has no CUDA; run with --device cpu, or configure with -DISDA_CUDA=on where the CUDA toolkit is installed");
}

}  // namespace

Card find_card() { return {.description = "this build has no CUDA"}; }
const Card& card() {
  static const Card none = find_card();
  return none;
}
void require_card() { absent(); }

void* allocate(std::size_t) { absent(); }
void* try_allocate(std::size_t) { absent(); }
void fail_full(std::size_t) { absent(); }
void set_reclaim(void (*)()) {}
void release(void*) noexcept {}
void* allocate_pinned(std::size_t) { absent(); }
void release_pinned(void*) noexcept {}
FreeMemory free_memory() { absent(); }

void copy_to_device(void*, const void*, std::size_t, Stream) { absent(); }
void copy_to_host(void*, const void*, std::size_t, Stream) { absent(); }
void copy_on_device(void*, const void*, std::size_t, Stream) { absent(); }
void fill_bytes(void*, int, std::size_t, Stream) { absent(); }

Stream create_stream() { absent(); }
void destroy_stream(Stream) noexcept {}
void synchronise(Stream) { absent(); }
bool is_capturing(Stream) { absent(); }

Event::Event(bool) { absent(); }
Event::~Event() = default;
void Event::record(Stream) { absent(); }
void Event::wait() const { absent(); }
void Event::hold(Stream) const { absent(); }
double Event::seconds_since(const Event&) const { absent(); }

Graph::Graph(Stream stream) : stream_(stream) { absent(); }
Graph::~Graph() = default;
void Graph::finish() { absent(); }
void Graph::launch(Stream) const { absent(); }

Range::Range(const char*) {}
Range::~Range() = default;

}  // namespace isda::cuda
