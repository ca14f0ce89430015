// SPDX-License-Identifier: Apache-2.0
// The directory of a run, held by one process at a time.
//
//   config.json          what the run was asked for; `isda train --config` takes it
//   metrics.csv          a row an epoch;   steps.csv with --log-steps
//   last.safetensors     the weights after the last finished epoch (or the step at which the run was stopped)
//   best.safetensors     the weights of the epoch with the best val_top1
//   state.safetensors    everything --resume needs: weights, momenta, class statistics, counters
#pragma once
#include <filesystem>

namespace isda {

class RunDirectory {
 public:
  // Creates the directory and locks it. Throws Error when another process holds it, and when it already holds a run that is not resumed.
  RunDirectory(const std::filesystem::path& path, bool is_resumed);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.json"; }
  std::filesystem::path metrics() const { return path_ / "metrics.csv"; }
  std::filesystem::path steps() const { return path_ / "steps.csv"; }
  std::filesystem::path last() const { return path_ / "last.safetensors"; }
  std::filesystem::path best() const { return path_ / "best.safetensors"; }
  std::filesystem::path state() const { return path_ / "state.safetensors"; }

 private:
  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace isda
