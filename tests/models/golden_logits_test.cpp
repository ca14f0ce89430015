// SPDX-License-Identifier: Apache-2.0
// Networks held against the same ones of PyTorch and torchvision: logits of images, from weights that both sides compute by one formula. The numbers, and
// how they were made: tests/golden/networks, tests/golden/README.md. A new file there is a new test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/autograd.h"
#include "models/registry.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

fs::path folder() { return fs::path(ISDA_SOURCE_DIR) / "tests" / "golden" / "networks"; }

std::vector<std::string> networks_with_logits() {
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(folder())) names.push_back(file.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

// tests/golden/formula.py, once more.
std::uint64_t stream_of(std::string_view name) {
  std::uint64_t value = 0xCBF29CE484222325u;
  for (const char byte : name) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  return value >> 40;
}

double unit(std::uint64_t stream, std::uint64_t index) {
  std::uint64_t z = (stream * (std::uint64_t{1} << 40) + index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ (z >> 31)) >> 40) / 8388608 - 1;
}

// Convolutions are numbered as (out, in, rows, columns), and lie in memory as (out, rows, columns, in).
void fill(const std::string& name, const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  const std::uint64_t stream = stream_of(name);
  const bool is_near_one = shape.rank() == 1 && (name.ends_with(".weight") || name.ends_with(".running_var"));
  const double offset = is_near_one ? 1 : 0;
  const double scale = shape.rank() == 1 ? 0.25 : std::sqrt(2 / static_cast<double>(tensor.size() / shape[0]));
  const std::int64_t in = shape.rank() == 4 ? shape[3] : 1, pixels = shape.rank() == 4 ? shape[1] * shape[2] : 1, out = tensor.size() / (in * pixels);
  auto* const values = tensor.view().as<float>();
  std::uint64_t e = 0;
  for (std::int64_t k = 0; k < out; ++k) {
    for (std::int64_t c = 0; c < in; ++c) {
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) values[(k * pixels + pixel) * in + c] = static_cast<float>(offset + scale * unit(stream, e++));
    }
  }
}

Tensor images_of(std::int64_t count, std::int64_t extent) {
  const Tensor images({count, extent, extent, 3});
  const std::uint64_t noise = stream_of("noise"), blocks = stream_of("blocks");
  const auto place = [&](std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
    return static_cast<std::uint64_t>(((n * extent + h) * extent + w) * 3 + c);
  };
  for (std::int64_t n = 0; n < count; ++n)
    for (std::int64_t h = 0; h < extent; ++h)
      for (std::int64_t w = 0; w < extent; ++w)
        for (std::int64_t c = 0; c < 3; ++c)
          images.view().set(static_cast<float>(unit(noise, place(n, h, w, c)) + 2 * unit(blocks, place(n, h / 8, w / 8, c))), n, h, w, c);
  return images;
}

class GoldenLogits : public testing::TestWithParam<std::string> {};

// NOTE: PyTorch's are of float64. The error of f32 in the deepest of these networks is a tenth of what is allowed.
TEST_P(GoldenLogits, AreThoseOfPyTorch) {
  std::ifstream stream(folder() / (GetParam() + ".json"));
  const auto golden = nlohmann::json::parse(stream);
  const auto classes = golden["classes"].get<std::int64_t>();
  const auto network = find_network(golden["network"]).make(classes);
  EXPECT_EQ(network->parameter_count(), golden["parameters"].get<std::int64_t>());

  for (const auto& [name, tensor] : network->parameters()) fill(name, tensor);
  for (const auto& [name, tensor] : network->buffers()) fill(name, tensor);
  network->evaluate();
  const NoGradient no_gradient;
  const auto& expected = golden["logits"];
  const Tensor logits = network->logits(images_of(static_cast<std::int64_t>(expected.size()), golden["extent"]));

  ASSERT_EQ(logits.shape(), (Shape{static_cast<std::int64_t>(expected.size()), classes}));
  const auto largest = golden["largest"].get<double>();
  double error = 0;
  for (std::size_t n = 0; n < expected.size(); ++n) {
    ASSERT_EQ(expected[n].size(), golden["shown"].size());
    for (std::size_t i = 0; i < expected[n].size(); ++i) {
      const double difference = std::abs(logits.view().at(static_cast<std::int64_t>(n), golden["shown"][i].get<std::int64_t>()) - expected[n][i].get<double>());
      // NOTE: written so that a NaN fails.
      EXPECT_TRUE(difference <= 2e-5 * largest) << "image " << n << ", class " << golden["shown"][i] << ": " << difference << " off";
      error = std::max(error, difference);
    }
  }
  RecordProperty("error", fmt::format("{:.1e}", error / largest));
}

INSTANTIATE_TEST_SUITE_P(Networks, GoldenLogits, testing::ValuesIn(networks_with_logits()), [](const auto& name) { return name.param; });

// Every network for 224x224 images is among them, and of every family for 32x32 images a member.
TEST(GoldenLogitsList, HoldsTheNetworksForLargeImagesAndEveryFamily) {
  const auto names = networks_with_logits();
  std::set<std::string> families;
  for (const auto& name : names) families.insert(find_network(name).family);
  for (const auto& entry : networks()) {
    if (entry.image_extent != 32) {
      EXPECT_TRUE(std::binary_search(names.begin(), names.end(), entry.name)) << entry.name;
    }
    EXPECT_TRUE(families.contains(entry.family)) << entry.family;
  }
}

}  // namespace
}  // namespace isda
