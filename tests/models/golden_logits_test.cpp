// SPDX-License-Identifier: Apache-2.0
// Networks held against the same ones of PyTorch and torchvision: logits of images, from weights that both sides compute by one formula. The numbers, and
// how they were made: tests/golden/networks, tests/golden/README.md. A new file there is a new test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/autograd.h"
#include "models/registry.h"
#include "tests/models/golden_formula.h"

namespace isda {
namespace {

std::vector<std::string> networks_with_logits() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(golden::folder() / "networks")) names.push_back(file.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

class GoldenLogits : public testing::TestWithParam<std::string> {};

// NOTE: PyTorch's are of float64. The error of f32 in the deepest of these networks is a tenth of what is allowed.
TEST_P(GoldenLogits, AreThoseOfPyTorch) {
  const auto expected = golden::read(GetParam());
  const NetworkEntry entry = find_network(expected["network"]);
  const auto network = entry.make(expected["classes"].get<std::int64_t>());
  const auto parameters = expected["parameters"].get<std::int64_t>();
  EXPECT_EQ(network->parameter_count(), parameters);
  if (entry.image_extent != 32) {
    EXPECT_NEAR(static_cast<double>(parameters) * 1e-6, entry.paper_parameters, 0.05);
  }
  EXPECT_EQ(golden::digest_of(*network), expected["digest"].get<std::string>()) << "names and shapes are others";

  golden::fill(*network);
  network->evaluate();
  const NoGradient no_gradient;
  const double error = golden::error_of(network->logits(golden::images_of(expected)), expected);
  // NOTE: written so that a NaN fails.
  EXPECT_TRUE(error <= 2e-5) << error << " of the largest logit";
  RecordProperty("error", fmt::format("{:.1e}", error));
}

INSTANTIATE_TEST_SUITE_P(Networks, GoldenLogits, testing::ValuesIn(networks_with_logits()), [](const auto& name) { return name.param; });

TEST(GoldenLogitsList, HoldsEveryNetworkThatIsListed) {
  const auto names = networks_with_logits();
  for (const auto& entry : networks())
    EXPECT_TRUE(std::binary_search(names.begin(), names.end(), entry.name)) << entry.name << ": tests/golden/make_network_logits.py makes it";
}

}  // namespace
}  // namespace isda
