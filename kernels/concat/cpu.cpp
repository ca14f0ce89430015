// SPDX-License-Identifier: Apache-2.0
// Channels side by side on the cpu device: ranges of rows, of each row two pieces.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/concat/concat.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kRangeElements = 16 * 1024;

}  // namespace

void run(Cpu, const Context& context, const Concat& op) {
  check_cpu(op.name, op.y);
  const std::int64_t A = op.a.extent(-1), B = op.b.extent(-1), C = A + B;
  parallel_ranges(context, op.y.size() / C, std::max<std::int64_t>(kRangeElements / C, 1),
                  [=, a = op.a.as<float>(), b = op.b.as<float>(), y = op.y.as<float>()](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t row = begin; row < end; ++row) std::copy_n(b + row * B, B, std::copy_n(a + row * A, A, y + row * C));
                  });
}

void run(Cpu, const Context& context, const ConcatBackward& op) {
  check_cpu(op.name, op.dy);
  const std::int64_t A = op.da.extent(-1), B = op.db.extent(-1), C = A + B;
  parallel_ranges(context, op.dy.size() / C, std::max<std::int64_t>(kRangeElements / C, 1),
                  [=, dy = op.dy.as<float>(), da = op.da.as<float>(), db = op.db.as<float>()](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t row = begin; row < end; ++row) {
                      std::copy_n(dy + row * C, A, da + row * A);
                      std::copy_n(dy + row * C + A, B, db + row * B);
                    }
                  });
}

}  // namespace isda::kernels
