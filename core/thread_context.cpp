// SPDX-License-Identifier: Apache-2.0
#include "core/thread_context.h"

#include <atomic>
#include <map>
#include <optional>

#include "core/memory_pool.h"
#include "kernels/common/error.h"

namespace isda {

namespace {

std::atomic<int> threads_wanted{0};
std::atomic<F32Products> f32_products_wanted{F32Products::three_tf32};

// NOTE: apart from the thread's card, since tensors may be freed after that is gone, when a thread or the program ends.
constinit thread_local cuda::Stream stream_now = nullptr;

class ThreadCard {
 public:
  ThreadCard() : context_(Device::cuda), branch_(Device::cuda), staging_(context_.stream()) { stream_now = context_.stream(); }
  ~ThreadCard() {
    stream_now = nullptr;
    try {
      branch_.synchronise();
      context_.synchronise();
    } catch (const Error&) {
      // NOTE: the failure stays with the card and is told by the next call that may throw.
    }
    memory_pool(Device::cuda).forget(context_.stream());
  }
  ThreadCard(const ThreadCard&) = delete;
  ThreadCard& operator=(const ThreadCard&) = delete;

  const Context& context() {
    context_.set_f32_products(f32_products_wanted);
    return context_;
  }
  const Context& branch() {
    branch_.set_f32_products(f32_products_wanted);
    return branch_;
  }
  void fork() {
    begin_.record(context_.stream());
    begin_.hold(branch_.stream());
  }
  void join() {
    end_.record(branch_.stream());
    end_.hold(context_.stream());
  }
  Staging& staging() { return staging_; }

 private:
  Context context_, branch_;
  cuda::Event begin_{false}, end_{false};
  Staging staging_;
};

ThreadCard& card_of_thread() {
  thread_local ThreadCard card;
  return card;
}

struct HostContext {
  int threads;
  Context context;
};

}  // namespace

const Context& context_of(Device device) {
  if (device == Device::cuda) return card_of_thread().context();
  thread_local std::map<Device, HostContext> contexts;
  const int threads = threads_wanted;
  auto found = contexts.find(device);
  if (found != contexts.end() && found->second.threads != threads) {
    contexts.erase(found);
    found = contexts.end();
  }
  if (found == contexts.end()) found = contexts.emplace(device, HostContext{threads, Context(device, threads)}).first;
  return found->second.context;
}

void set_threads(int threads) {
  require(threads >= 0, "[threads] {} threads were asked for, expected 0 (all) or more", threads);
  threads_wanted = threads;
}

void set_f32_products(F32Products products) { f32_products_wanted = products; }

const Context& fork_branch() {
  card_of_thread().fork();
  return branch_of_thread();
}

void join_branch() { card_of_thread().join(); }

const Context& branch_of_thread() { return card_of_thread().branch(); }

cuda::Stream stream_of_thread() noexcept { return stream_now; }

Staging& staging_of_thread() { return card_of_thread().staging(); }

}  // namespace isda
