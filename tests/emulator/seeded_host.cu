// SPDX-License-Identifier: Apache-2.0
// Bugs of host code: not waiting, not ordering streams, what a graph cannot record, wrong copies, wrong launches, memory of the card in host code.
#include <memory>

#include "kernels/common/simt.cuh"
#include "kernels/emulator/emulator.h"
#include "tests/emulator/on_card.h"
#include "tests/emulator/seeded_bugs.h"

namespace isda::seeded {

namespace {

constexpr unsigned kThreads = 64;

__global__ void add_kernel(float* y, const float* x, float addend) { y[threadIdx.x] = x[threadIdx.x] + addend; }

}  // namespace

namespace host {
namespace {

constexpr std::size_t kBytes = kThreads * sizeof(float);

void add(const Context& context, float* y, const float* x, float addend) {
  launch(context, {.name = "add", .grid = 1, .block = kThreads}, add_kernel, y, x, addend);
}

std::vector<float> numbers_and(float addend) {
  std::vector<float> result = numbers(kThreads);
  for (float& value : result) value += addend;
  return result;
}

// Page-locked memory of the host.
struct Pinned {
  Pinned() : values(static_cast<float*>(cuda::allocate_pinned(kBytes))) {}
  ~Pinned() { cuda::release_pinned(values); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  float* values;
};

// NOTE: streams are late here under every schedule, as a card's always may be.
struct LateStreams {
  LateStreams() { emulator::options().deferred_streams = true; }
  ~LateStreams() { emulator::options().deferred_streams = before; }
  LateStreams(const LateStreams&) = delete;
  LateStreams& operator=(const LateStreams&) = delete;

  bool before = emulator::options().deferred_streams;
};

// ---- order ----

std::string host_read_before_synchronise(bool is_right) {
  const LateStreams late;
  const Context context(Device::cuda);
  const OnCard<float> y(kThreads), x(numbers(kThreads));
  const Pinned result;
  add(context, y, x, 1);
  cuda::copy_to_host(result.values, y, kBytes, context.stream());
  if (is_right) context.synchronise();
  const float first = result.values[0];  // BUG: host_read_before_synchronise
  context.synchronise();
  return difference(std::vector<float>{first}, {2});
}

std::string pinned_memory_written_too_early(bool is_right) {
  const LateStreams late;
  const Context context(Device::cuda);
  const OnCard<float> x(kThreads);
  const Pinned from;
  for (std::size_t i = 0; i < kThreads; ++i) from.values[i] = 1;
  cuda::copy_to_device(x, from.values, kBytes, context.stream());
  if (is_right) context.synchronise();
  from.values[0] = 2;  // BUG: pinned_memory_written_too_early
  context.synchronise();
  return difference(x.read(), std::vector<float>(kThreads, 1));
}

std::string event_missing_between_streams(bool is_right) {
  const LateStreams late;
  const Context first(Device::cuda), second(Device::cuda);
  const OnCard<float> x(numbers(kThreads)), y(kThreads), z(kThreads);
  cuda::Event is_written;
  add(first, y, x, 1);
  is_written.record(first.stream());
  if (is_right) is_written.hold(second.stream());
  add(second, z, y, 1);
  first.synchronise();
  second.synchronise();
  return difference(z.read(), numbers_and(2));
}

// ---- graphs ----

// NOTE: two branches, of which the second needs what the first writes.
std::string edge_missing_between_branches(bool is_right) {
  const LateStreams late;
  const Context context(Device::cuda), aside(Device::cuda);
  const OnCard<float> x(numbers(kThreads)), y(kThreads), z(kThreads);
  cuda::Event fork, is_written, join;
  cuda::Graph graph(context.stream());
  fork.record(context.stream());
  fork.hold(aside.stream());
  add(context, y, x, 1);
  is_written.record(context.stream());
  if (is_right) is_written.hold(aside.stream());
  add(aside, z, y, 1);
  join.record(aside.stream());
  join.hold(context.stream());
  graph.finish();
  graph.launch(context.stream());
  context.synchronise();
  return difference(z.read(), numbers_and(2));
}

std::string allocation_in_capture(bool is_right) {
  const Context context(Device::cuda);
  const OnCard<float> x(numbers(kThreads)), y(kThreads);
  std::unique_ptr<OnCard<float>> between;
  if (is_right) between = std::make_unique<OnCard<float>>(kThreads);
  cuda::Graph graph(context.stream());
  if (!is_right) between = std::make_unique<OnCard<float>>(kThreads);
  add(context, *between, x, 1);
  add(context, y, *between, 1);
  graph.finish();
  graph.launch(context.stream());
  context.synchronise();
  return difference(y.read(), numbers_and(2));
}

std::string synchronisation_in_capture(bool is_right) {
  const Context context(Device::cuda);
  const OnCard<float> x(numbers(kThreads)), y(kThreads);
  cuda::Graph graph(context.stream());
  add(context, y, x, 1);
  if (!is_right) context.synchronise();
  graph.finish();
  graph.launch(context.stream());
  context.synchronise();
  return difference(y.read(), numbers_and(1));
}

std::string fork_not_joined_in_capture(bool is_right) {
  const Context context(Device::cuda), aside(Device::cuda);
  const OnCard<float> x(numbers(kThreads)), y(kThreads), z(kThreads);
  cuda::Event fork, join;
  cuda::Graph graph(context.stream());
  fork.record(context.stream());
  fork.hold(aside.stream());
  add(context, y, x, 1);
  add(aside, z, x, 2);
  join.record(aside.stream());
  if (is_right) join.hold(context.stream());
  graph.finish();
  graph.launch(context.stream());
  context.synchronise();
  return difference(z.read(), numbers_and(2));
}

std::string freed_between_capture_and_replay(bool is_right) {
  const Context context(Device::cuda);
  const OnCard<float> y(kThreads);
  auto x = std::make_unique<OnCard<float>>(numbers(kThreads));
  cuda::Graph graph(context.stream());
  add(context, y, *x, 1);
  graph.finish();
  if (!is_right) x.reset();
  graph.launch(context.stream());
  context.synchronise();
  return difference(y.read(), numbers_and(1));
}

// ---- copies and memory ----

std::string device_pointer_on_the_host(bool is_right) {
  const OnCard<float> x(numbers(kThreads));
  const float* pointer = x;
  const float first = is_right ? x.read()[0] : pointer[0];  // BUG: device_pointer_on_the_host
  return difference(std::vector<float>{first}, {1});
}

std::string copy_in_the_wrong_direction(bool is_right) {
  const OnCard<float> x(numbers(kThreads));
  std::vector<float> values(kThreads);
  if (is_right)
    cuda::copy_to_host(values.data(), x, kBytes, nullptr);
  else
    cuda::copy_to_device(values.data(), x, kBytes, nullptr);
  cuda::synchronise(nullptr);
  return difference(values, numbers(kThreads));
}

std::string copy_longer_than_the_array(bool is_right) {
  const OnCard<float> x(kThreads);
  const std::vector<float> values = numbers(kThreads + 1);
  cuda::copy_to_device(x, values.data(), is_right ? kBytes : kBytes + sizeof(float), nullptr);
  cuda::synchronise(nullptr);
  return difference(x.read(), numbers(kThreads));
}

std::string copy_longer_than_the_hosts_array(bool is_right) {
  const OnCard<float> x(numbers(kThreads));
  const auto values = std::make_unique<float[]>(is_right ? kThreads : kThreads - 1);
  cuda::copy_to_host(values.get(), x, kBytes, nullptr);  // BUG: copy_longer_than_the_hosts_array
  cuda::synchronise(nullptr);
  return difference(std::vector<float>{values[0]}, {1});
}

std::string double_free(bool is_right) {
  void* memory = cuda::allocate(kBytes);
  cudaFree(memory);
  if (is_right || cudaFree(memory) == cudaSuccess) return {};
  cudaGetLastError();
  return emulator::last_report();
}

// ---- launches ----

std::string launch_of(const LaunchShape& shape) {
  const Context context(Device::cuda);
  const OnCard<float> x(numbers(kThreads)), y(kThreads);
  launch(context, shape, add_kernel, y, x, 1.0f);
  context.synchronise();
  return difference(y.read(), numbers_and(1));
}
std::string too_many_threads(bool is_right) { return launch_of({.name = "add", .grid = 1, .block = is_right ? kThreads : 1025}); }
std::string empty_grid(bool is_right) { return launch_of({.name = "add", .grid = is_right ? 1u : 0u, .block = kThreads}); }
std::string too_much_dynamic_shared(bool is_right) {
  constexpr std::size_t kMost = std::size_t{227} << 10;
  return launch_of({.name = "add", .grid = 1, .block = kThreads, .shared_bytes = is_right ? kMost : kMost + 16});
}

}  // namespace
}  // namespace host

std::vector<Bug> host_bugs() {
  return {{"host_read_before_synchronise", host::host_read_before_synchronise},
          {"pinned_memory_written_too_early", host::pinned_memory_written_too_early},
          {"event_missing_between_streams", host::event_missing_between_streams},
          {"edge_missing_between_branches", host::edge_missing_between_branches},
          {"allocation_in_capture", host::allocation_in_capture},
          {"synchronisation_in_capture", host::synchronisation_in_capture},
          {"fork_not_joined_in_capture", host::fork_not_joined_in_capture},
          {"freed_between_capture_and_replay", host::freed_between_capture_and_replay},
          {"device_pointer_on_the_host", host::device_pointer_on_the_host},
          {"copy_in_the_wrong_direction", host::copy_in_the_wrong_direction},
          {"copy_longer_than_the_array", host::copy_longer_than_the_array},
          {"copy_longer_than_the_hosts_array", host::copy_longer_than_the_hosts_array},
          {"double_free", host::double_free},
          {"too_many_threads", host::too_many_threads},
          {"empty_grid", host::empty_grid},
          {"too_much_dynamic_shared", host::too_much_dynamic_shared}};
}

}  // namespace isda::seeded
