// SPDX-License-Identifier: Apache-2.0
// Trains one network on one data set: the loop that everything else serves.
//
//   for each epoch: rate and ratio; for each batch: features, loss, backward, step; evaluation; files
// A run is a function of its configuration: the same configuration, device and build give the same bits, also across a resume.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "datasets/dataset.h"
#include "models/network.h"
#include "training/config.h"
#include "training/metrics.h"

namespace isda {

// What is known after a step.
struct StepReport {
  std::int64_t epoch = 0, epochs = 0;          // the current epoch, from 1
  std::int64_t step = 0, steps_per_epoch = 0;  // of this epoch, from 1
  double loss = 0;                             // of this batch
  Tally epoch_tally;
  double images_per_second = 0;
  double seconds_left = 0;  // of the whole run, estimated
};

// The caller's view of a run; every member may be empty.
struct TrainObserver {
  std::function<void(const std::string& line)> on_message;  // what is used, and why
  std::function<void(const StepReport&)> on_step;
  std::function<void(const EpochMetrics&, bool is_best)> on_epoch;
  // Asked after every step; a signal's number ends the run with what was learned saved.
  std::function<int()> stop_signal;
};

struct TrainResult {
  std::vector<EpochMetrics> epochs;
  int stopped_by = 0;  // the signal that ended the run early; 0 when it ended by itself
};

// Trains as `config` says. resume: go on with the run in config.output.
// Throws Error for what cannot be; a loss that is NaN or infinite names the step and the learning rate, and leaves the files of the last
// good epoch.
TrainResult train(const TrainConfig& config, bool resume, const TrainObserver& observer);

}  // namespace isda
