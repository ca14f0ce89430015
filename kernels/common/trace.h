// SPDX-License-Identifier: Apache-2.0
// What an operation costs on paper, and, with ISDA_TRACE=1 in the environment, what it costs in fact.
//
// The trace adds up calls, seconds, FLOP and bytes by operation name and prints one table to stderr when the program ends. On the cuda device an
// operation's seconds are those of its kernels, which are then launched one at a time and have a table of their own.
#pragma once
#include <chrono>
#include <vector>

namespace isda {

// Floating-point operations (a multiply-add counts two) and bytes moved if everything is read and written once.
struct Cost {
  double flop = 0;
  double bytes = 0;
};

// While it lives, the operations that this thread runs are written down: what a network costs, what a step launches.
class OperationLog {
 public:
  struct Entry {
    const char* name;
    Cost cost;
  };

  // is_dry: operations are checked and written down, and not run: outputs stay what they were. A large network's cost is then known at once.
  explicit OperationLog(bool is_dry = false);
  ~OperationLog();
  OperationLog(const OperationLog&) = delete;
  OperationLog& operator=(const OperationLog&) = delete;

  static OperationLog* current();
  // Whether this thread's operations are only written down.
  static bool is_dry() { return current() && current()->is_dry_; }
  void add(const char* name, const Cost& cost) { entries_.push_back({name, cost}); }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  OperationLog* outer_;
  bool is_dry_;
  std::vector<Entry> entries_;
};

class Trace {
 public:
  static bool is_enabled();

  template <class CostFunction>
  Trace(const char* name, CostFunction&& cost) {
    if (auto* log = OperationLog::current()) [[unlikely]]
      log->add(name, cost());
    if (!is_enabled()) [[likely]]
      return;
    name_ = name;
    cost_ = cost();
    begin();
  }
  ~Trace() {
    if (name_) end();
  }
  // One kernel of the operation that this thread is running, or of none.
  static void add_kernel(const char* name, double seconds);

  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

 private:
  void begin();
  void end();

  const char* name_ = nullptr;
  Cost cost_;
  std::chrono::steady_clock::time_point begin_;
  double kernel_seconds_ = 0;
  Trace* outer_ = nullptr;
};

}  // namespace isda
