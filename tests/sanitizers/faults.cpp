// SPDX-License-Identifier: Apache-2.0
// Commits a fault that a sanitizer must report, so that its silence about everything else means something.
//
//   sanitizer_faults race        two threads write one variable inside parallel_for     ThreadSanitizer
//   sanitizer_faults overrun     a write behind the end of an array                      AddressSanitizer
//   sanitizer_faults overflow    a sum that does not fit a signed integer                UndefinedBehaviorSanitizer
//   sanitizer_faults none        the same loop without a fault: no report
#include <fmt/core.h>

#include <limits>
#include <string_view>
#include <vector>

#include "kernels/common/parallel.h"

namespace {

void fill(std::vector<int>& values, std::int64_t count, bool is_shared) {
  const isda::Context context(isda::Device::cpu, 2);
  isda::parallel_for(context, count, [&](std::int64_t index) { values[is_shared ? 0 : static_cast<std::size_t>(index)] += 1; });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view fault = argc > 1 ? argv[1] : "none";
  std::vector<int> values(1000, 1);
  fill(values, fault == "overrun" ? 1001 : 1000, fault == "race");
  if (fault == "overflow") values[0] += std::numeric_limits<int>::max();
  int sum = 0;
  for (const int value : values) sum ^= value;
  fmt::print("{}\n", sum);
  return 0;
}
