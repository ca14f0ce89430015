// SPDX-License-Identifier: Apache-2.0
// The losses and hits of many steps, kept on the device and read at once (kernels/journal/journal.h).
#pragma once
#include <vector>

#include "core/tensor.h"
#include "losses/loss.h"

namespace isda {

class Journal {
 public:
  // type: of the losses, the parameters' type.
  Journal(std::int64_t rows, DType type, Device device);

  // Enqueued. At most `rows` steps may be added between two readings.
  void add(const LossResult& result) const;

  struct Entry {
    double loss = 0;
    std::int64_t correct = 0;
  };
  // Waits for the device. `steps`: how many were added since the last reading, in order.
  std::vector<Entry> read(std::int64_t steps) const;

  std::int64_t rows() const { return losses_.size(); }

 private:
  Tensor losses_, hits_, row_;
};

}  // namespace isda
