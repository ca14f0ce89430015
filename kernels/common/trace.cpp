// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/trace.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
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
    fmt::print(stderr, "{:<32} {:>9} {:>11} {:>7} {:>10} {:>9}\n", "operation", "calls", "seconds", "share", "GFLOP/s", "GB/s");
    for (const auto& [name, row] : sorted) {
      fmt::print(stderr, "{:<32} {:>9} {:>11.4f} {:>6.1f}% {:>10.2f} {:>9.2f}\n", name, row.calls, row.seconds, 100 * row.seconds / total,
                 row.cost.flop / row.seconds * 1e-9, row.cost.bytes / row.seconds * 1e-9);
    }
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Row> rows_;
};

thread_local OperationLog* current_log = nullptr;

}  // namespace

OperationLog::OperationLog() : outer_(current_log) { current_log = this; }
OperationLog::~OperationLog() { current_log = outer_; }
OperationLog* OperationLog::current() { return current_log; }

bool Trace::is_enabled() {
  static const bool is_enabled = [] {
    const char* value = std::getenv("ISDA_TRACE");
    return value && *value && std::string(value) != "0";
  }();
  return is_enabled;
}

void Trace::record(const char* name, const Cost& cost, double seconds) {
  static Table table;
  table.add(name, cost, seconds);
}

}  // namespace isda
