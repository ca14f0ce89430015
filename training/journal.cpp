// SPDX-License-Identifier: Apache-2.0
#include "training/journal.h"

#include "kernels/journal/journal.h"

namespace isda {

Journal::Journal(std::int64_t rows, DType type, Device device)
    : losses_(Tensor::zeros({rows}, type, device)), hits_(Tensor::zeros({rows}, DType::i32, device)), row_(Tensor::zeros({1}, DType::i32, device)) {}

void Journal::add(const LossResult& result) const {
  run(losses_.context(), kernels::Journal{.loss = result.loss, .correct = result.correct, .losses = losses_, .hits = hits_, .row = row_});
}

std::vector<Journal::Entry> Journal::read(std::int64_t steps) const {
  const Tensor row = row_.on_host(), losses = losses_.on_host(), hits = hits_.on_host();
  require(row.view().at(0) == static_cast<double>(steps) && steps <= rows(), "[journal] {} steps were noted since the last reading, expected {} of at most {}",
          row.view().at(0), steps, rows());
  copy(Tensor::zeros({1}, DType::i32), row_);
  std::vector<Entry> entries;
  for (std::int64_t step = 0; step < steps; ++step) {
    entries.push_back({.loss = losses.view().at(step), .correct = static_cast<std::int64_t>(hits.view().at(step))});
  }
  return entries;
}

}  // namespace isda
