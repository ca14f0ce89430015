// SPDX-License-Identifier: Apache-2.0
// The golden logits of networks (tests/golden/README.md): the weights, the images, and how far logits are off.
#pragma once
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "models/network.h"

namespace isda::golden {

inline std::filesystem::path folder() { return std::filesystem::path(ISDA_SOURCE_DIR) / "tests" / "golden"; }

// What stands in networks/NAME.json.
inline nlohmann::json read(const std::string& name) {
  std::ifstream stream(folder() / "networks" / (name + ".json"));
  return nlohmann::json::parse(stream);
}

// tests/golden/formula.py, once more.
inline std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t value = 0xCBF29CE484222325u;
  for (const char byte : text) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  return value;
}
inline std::uint64_t stream_of(std::string_view name) { return fnv1a(name) >> 40; }

inline double unit(std::uint64_t stream, std::uint64_t index) {
  std::uint64_t z = (stream * (std::uint64_t{1} << 40) + index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ (z >> 31)) >> 40) / 8388608 - 1;
}

// Convolutions are numbered as (out, in, rows, columns), and lie in memory as (out, rows, columns, in).
inline void fill(const std::string& name, const Tensor& tensor) {
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

inline void fill(const Network& network) {
  for (const auto& [name, tensor] : network.parameters()) fill(name, tensor);
  for (const auto& [name, tensor] : network.buffers()) fill(name, tensor);
}

// Of all names and shapes, as they are on disk.
inline std::string digest_of(const Network& network) {
  std::set<std::string> lines;
  const auto add = [&](const NamedTensor& tensor) {
    Shape shape = tensor.tensor.shape();
    if (shape.rank() == 4) shape = {shape[0], shape[3], shape[1], shape[2]};
    lines.insert(fmt::format("{} {}\n", tensor.name, shape));
  };
  for (const NamedTensor& tensor : network.parameters()) add(tensor);
  for (const NamedTensor& tensor : network.buffers()) add(tensor);
  std::string text;
  for (const std::string& line : lines) text += line;
  return fmt::format("{:016x}", fnv1a(text));
}

inline Tensor images_of(const nlohmann::json& golden) {
  const auto count = static_cast<std::int64_t>(golden["logits"].size()), extent = golden["extent"].get<std::int64_t>();
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

// The largest difference from what is expected, as a share of the largest logit; NaN where a logit is.
inline double error_of(const Tensor& logits, const nlohmann::json& golden) {
  const auto& expected = golden["logits"];
  if (logits.shape() != Shape{static_cast<std::int64_t>(expected.size()), golden["classes"].get<std::int64_t>()}) return HUGE_VAL;
  double error = 0;
  for (std::size_t n = 0; n < expected.size(); ++n) {
    for (std::size_t i = 0; i < expected[n].size(); ++i) {
      const double logit = logits.view().at(static_cast<std::int64_t>(n), golden["shown"][i].get<std::int64_t>());
      if (std::isnan(logit)) return logit;
      error = std::max(error, std::abs(logit - expected[n][i].get<double>()));
    }
  }
  return error / golden["largest"].get<double>();
}

}  // namespace isda::golden
