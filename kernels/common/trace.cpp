// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/trace.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace isda {

namespace {

struct Row {
  long calls = 0;
  double seconds = 0;
  Cost cost;
};

// Rows by operation name; prints itself at the end of the program, the most expensive operation first.
class Table {
 public:
  explicit Table(const char* title) : title_(title) {}

  void add(const char* name, const Cost& cost, double seconds) {
    const std::lock_guard lock(mutex_);
    Row& row = rows_[name];
    row.calls += 1;
    row.seconds += seconds;
    row.cost.flop += cost.flop;
    row.cost.bytes += cost.bytes;
  }

  ~Table() {
    std::vector<std::pair<std::string, Row>> sorted(rows_.begin(), rows_.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    double total = 0;
    for (const auto& [name, row] : sorted) total += row.seconds;
    if (rows_.empty()) return;
    fmt::print(stderr, "{:<32} {:>9} {:>11} {:>7} {:>10} {:>9}\n", title_, "calls", "seconds", "share", "GFLOP/s", "GB/s");
    for (const auto& [name, row] : sorted) {
      fmt::print(stderr, "{:<32} {:>9} {:>11.4f} {:>6.1f}% {:>10} {:>9}\n", name, row.calls, row.seconds, 100 * row.seconds / total,
                 rate(row.cost.flop, row.seconds), rate(row.cost.bytes, row.seconds));
    }
  }

 private:
  // In billions a second; nothing where the amount is not known.
  static std::string rate(double amount, double seconds) { return amount > 0 ? fmt::format("{:.2f}", amount / seconds * 1e-9) : ""; }

  const char* title_;
  std::mutex mutex_;
  std::map<std::string, Row> rows_;
};

thread_local OperationLog* current_log = nullptr;
thread_local Trace* current_trace = nullptr;

}  // namespace

OperationLog::OperationLog(bool is_dry) : outer_(current_log), is_dry_(is_dry) { current_log = this; }
OperationLog::~OperationLog() { current_log = outer_; }
OperationLog* OperationLog::current() { return current_log; }

bool Trace::is_enabled() {
  static const bool is_enabled = [] {
    const char* value = std::getenv("ISDA_TRACE");
    return value && *value && std::string(value) != "0";
  }();
  return is_enabled;
}

void Trace::begin() {
  outer_ = std::exchange(current_trace, this);
  begin_ = std::chrono::steady_clock::now();
}

void Trace::end() {
  static Table table("operation");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  current_trace = outer_;
  table.add(name_, cost_, kernel_seconds_ > 0 ? kernel_seconds_ : seconds);
}

void Trace::add_kernel(const char* name, double seconds) {
  static Table table("kernel");
  table.add(name, {}, seconds);
  if (current_trace) current_trace->kernel_seconds_ += seconds;
}

}  // namespace isda
