// SPDX-License-Identifier: Apache-2.0
// A picture as a PNG file, by libpng.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace isda {

struct Picture {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // (H,W,3), red green blue
};

// The file appears whole or not at all. Throws Error where it cannot be written.
void write_png(const std::filesystem::path& file, const Picture& picture);

}  // namespace isda
