// SPDX-License-Identifier: Apache-2.0
// The progress of training: a bar that is redrawn on a terminal, a plain line per interval in a pipe, a line per epoch in both; and of a download, likewise.
#pragma once
#include <chrono>
#include <string>

#include "training/trainer.h"

namespace isda {

class Progress {
 public:
  // judged_on: what an epoch is judged on, "test" or "val".
  explicit Progress(std::string judged_on);
  void step(const StepReport& report);
  void epoch(const EpochMetrics& metrics, std::int64_t epochs, bool is_best);
  // Takes the bar off the terminal.
  void clear();

 private:
  std::string judged_on_;
  bool is_terminal_;
  std::chrono::steady_clock::time_point last_;
};

class DownloadProgress {
 public:
  DownloadProgress();
  // total 0: not known.
  void bytes(std::int64_t done, std::int64_t total);
  void clear();

 private:
  bool is_terminal_;
  std::chrono::steady_clock::time_point begin_, last_;
  std::int64_t first_ = -1;  // what was there when it began
};

}  // namespace isda
