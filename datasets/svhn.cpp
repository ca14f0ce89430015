// SPDX-License-Identifier: Apache-2.0
#include "datasets/svhn.h"

#include <fmt/ranges.h>

#include "datasets/mat_file.h"
#include "kernels/common/error.h"

namespace isda {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kSide = 32, kPixels = kSide * kSide;

const char* const kAdvice = "`isda data download svhn` brings it";

void read_images(MatFile& file, const fs::path& path, Split& split) {
  const auto& extents = file.extents();
  require(extents.size() == 4 && extents[0] == kSide && extents[1] == kSide && extents[2] == 3, "[svhn] {}: X has the extents ({}), expected (32,32,3,N); {}",
          path.string(), fmt::join(extents, ","), kAdvice);
  std::vector<std::uint8_t> planes(3 * kPixels);
  auto place = split.pixels.size();
  split.pixels.resize(place + static_cast<std::size_t>(extents[3]) * planes.size());
  for (std::int64_t image = 0; image < extents[3]; ++image, place += planes.size()) {
    file.read_bytes(3 * kPixels, planes.data());
    for (std::int64_t row = 0; row < kSide; ++row) {
      for (std::int64_t column = 0; column < kSide; ++column) {
        for (std::int64_t c = 0; c < 3; ++c) {
          split.pixels[place + static_cast<std::size_t>((row * kSide + column) * 3 + c)] = planes[static_cast<std::size_t>(c * kPixels + column * kSide + row)];
        }
      }
    }
  }
}

void read_labels(MatFile& file, Split& split) {
  const auto begin = split.labels.size();
  split.labels.resize(begin + static_cast<std::size_t>(file.count()));
  file.read(file.count(), 1, 10, split.labels.data() + begin);
  for (auto label = split.labels.begin() + static_cast<std::ptrdiff_t>(begin); label != split.labels.end(); ++label) *label %= 10;
}

// Appends what is in a file.
void read_file(const fs::path& path, Split& split) {
  std::error_code ignored;
  require(fs::exists(path, ignored), "[svhn] there is no {} (--data-dir); {}", path.string(), kAdvice);
  const auto images_before = split.size();
  MatFile file(path, kAdvice);
  std::int64_t images = -1, labels = -1;
  while (file.next()) {
    if (file.name() == "X" && images < 0) {
      images = file.extents().back();
      read_images(file, path, split);
    } else if (file.name() == "y" && labels < 0) {
      read_labels(file, split);
      labels = split.size() - images_before;
    }
  }
  require(images >= 0 && labels >= 0, "[svhn] {} holds no {}: is it of another data set? {}", path.string(), images < 0 ? "X" : "y", kAdvice);
  require(images == labels && images > 0, "[svhn] {} holds {} images and {} labels; {}", path.string(), images, labels, kAdvice);
}

Dataset load(const std::string& name, const fs::path& directory, bool with_extra) {
  Dataset dataset{.name = name, .class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}};
  read_file(directory / "train_32x32.mat", dataset.train);
  if (with_extra) read_file(directory / "extra_32x32.mat", dataset.train);
  read_file(directory / "test_32x32.mat", dataset.test);
  auto statistics = mean_and_deviation(dataset.train);
  dataset.mean = std::move(statistics.mean);
  dataset.deviation = std::move(statistics.deviation);
  return dataset;
}

}  // namespace

Dataset load_svhn(const fs::path& directory) { return load("svhn", directory, false); }
Dataset load_svhn_extra(const fs::path& directory) { return load("svhn_extra", directory, true); }

}  // namespace isda
