// SPDX-License-Identifier: Apache-2.0
// U_c = D_c S_c and Q on the card, in each way of multiplying f32: by three TF32 products, by one, by none.
#include <gtest/gtest.h>

#if defined(ISDA_EMULATED)
#include <cmath>

#include "kernels/isda/correction.cuh"
#include "tests/kernels/checker.h"
#include "tests/kernels/emulated_orders.h"
#include "tests/kernels/isda_head.h"

namespace isda::kernels {
namespace {

using namespace isda_test;

struct Errors {
  double u, q;
};

// The errors of U and of Q against their definition in double, as shares of their largest magnitude, where every class is present.
Errors errors_of(F32Products products, std::int64_t C, std::int64_t A) {
  Random random;
  const Head head(DType::f32, C, C, A, true);
  random.fill(head.weight, 0, 0.05);
  for (std::int64_t c = 0; c < C; ++c) {
    head.labels.set(c, static_cast<double>(c));
    // A covariance, as features have it: positive, with a few large directions.
    std::vector<double> direction(static_cast<std::size_t>(A));
    for (std::int64_t a = 0; a < A; ++a) direction[static_cast<std::size_t>(a)] = std::sin(static_cast<double>((c + 1) * (a + 1)));
    for (std::int64_t a = 0; a < A; ++a) {
      for (std::int64_t b = 0; b < A; ++b) {
        const double value = 0.3 * direction[static_cast<std::size_t>(a)] * direction[static_cast<std::size_t>(b)] + (a == b ? 0.7 : 0);
        head.covariance.set((c * A + a) * A + b, value);
      }
    }
  }

  Context context(Device::cuda);
  context.set_f32_products(products);
  const Array q(DType::f32, {C, C}, kNaN);
  std::vector<const Array*> arrays = head.arrays();
  for (const Array* array : arrays) array->move_to_card(context.stream());
  Scratch scratch = context.scratch();
  const Membership members = membership_of(context, scratch, View(head.labels), C, nullptr);
  const CorrectionTable table = correction_of(context, scratch, {.members = members, .weight = View(head.weight), .covariance = head.covariance, .u = head.u});
  std::vector<float> parts(static_cast<std::size_t>(C * table.parts * C));
  cuda::copy_to_host(parts.data(), table.q, parts.size() * sizeof(float), context.stream());
  for (const Array* array : arrays) array->move_to_host(context.stream());

  Errors worst{0, 0};
  double largest_u = 0, largest_q = 0;
  for (std::int64_t c = 0; c < C; ++c) {
    for (std::int64_t j = 0; j < C; ++j) {
      double expected_q = 0, actual_q = 0;
      for (std::int64_t b = 0; b < A; ++b) {
        double u = 0;
        for (std::int64_t a = 0; a < A; ++a) u += (head.weight[j * A + a] - head.weight[c * A + a]) * head.covariance[(c * A + a) * A + b];
        expected_q += u * (head.weight[j * A + b] - head.weight[c * A + b]);
        const double error = std::abs(u - head.u[(c * C + j) * A + b]);
        worst.u = error <= worst.u ? worst.u : error;
        largest_u = std::max(largest_u, std::abs(u));
      }
      for (int part = 0; part < table.parts; ++part) actual_q += static_cast<double>(parts[static_cast<std::size_t>((c * table.parts + part) * C + j)]);
      const double error = std::abs(actual_q - expected_q);
      worst.q = error <= worst.q ? worst.q : error;
      largest_q = std::max(largest_q, std::abs(expected_q));
    }
  }
  return {worst.u / largest_u, worst.q / largest_q};
}

TEST(IsdaProducts, AreAsExactAsTheySay) {
  const Strictly strictly;
  // Ragged about tiles; more classes than go by at a time; each number of tiles that a thread may have; rows of single, two and four elements.
  const struct { std::int64_t C, A; } shapes[] = {{3, 150}, {5, 131}, {20, 132}, {70, 66}, {115, 20}};
  for (const auto& [C, A] : shapes) {
    const Errors three = errors_of(F32Products::three_tf32, C, A), one = errors_of(F32Products::tf32, C, A), plain = errors_of(F32Products::plain, C, A);
    RecordProperty(fmt::format("three_tf32_{}_{}", C, A), fmt::format("{:.1e} {:.1e}", three.u, three.q));
    RecordProperty(fmt::format("tf32_{}_{}", C, A), fmt::format("{:.1e} {:.1e}", one.u, one.q));
    RecordProperty(fmt::format("plain_{}_{}", C, A), fmt::format("{:.1e} {:.1e}", plain.u, plain.q));
    EXPECT_LE(plain.u, 1e-6) << C << " " << A;
    EXPECT_LE(plain.q, 1e-6) << C << " " << A;
    EXPECT_LE(three.u, 1e-6) << C << " " << A;
    EXPECT_LE(three.q, 1e-6) << C << " " << A;
    // 10 bits of mantissa: 2^-11 of each factor at most, and not much less.
    EXPECT_LE(one.u, 0x1p-10) << C << " " << A;
    EXPECT_LE(one.q, 0x1p-10) << C << " " << A;
    EXPECT_GE(one.u, 0x1p-15) << C << " " << A;
  }
}

}  // namespace
}  // namespace isda::kernels
#endif
