// SPDX-License-Identifier: Apache-2.0
#include "datasets/image_folder.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <system_error>

#include "datasets/image_files.h"
#include "kernels/common/moments.h"
#include "kernels/common/parallel.h"

namespace isda {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMeasured = 256;
// Mean and deviation of ImageNet's training images, in units of the bytes, as torchvision's networks are normalised.
const std::vector<double> kMean{0.485 * 255, 0.456 * 255, 0.406 * 255};
const std::vector<double> kDeviation{0.229 * 255, 0.224 * 255, 0.225 * 255};

constexpr const char* kLayout = "expected are train/CLASS/*.jpeg and val/CLASS/*.jpeg (or .jpg), with the same classes in both";

struct Entries {
  std::vector<std::string> folders, files;  // sorted
};

Entries entries_of(const std::string& dataset, const fs::path& folder) {
  Entries entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name.starts_with(".")) continue;
    (it->is_directory(ignored) ? entries.folders : entries.files).push_back(name);
  }
  require(!error, "[{}] {} cannot be read: {}", dataset, folder.string(), error.message());
  std::sort(entries.folders.begin(), entries.folders.end());
  std::sort(entries.files.begin(), entries.files.end());
  return entries;
}

bool is_jpeg(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(), [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return extension == ".jpeg" || extension == ".jpg";
}

std::vector<std::string> class_folders(const std::string& dataset, const fs::path& folder) {
  std::error_code ignored;
  require(fs::is_directory(folder, ignored), "[{}] there is no folder {} (--data-dir); {}", dataset, folder.string(), kLayout);
  const Entries entries = entries_of(dataset, folder);
  require(!entries.folders.empty(), "[{}] {} holds no folders, but {} files; sort them into a folder for each class: {}", dataset, folder.string(),
          entries.files.size(), kLayout);
  return entries.folders;
}

// The JPEG files of every class, in order.
void add_files(const std::string& dataset, const fs::path& folder, const std::vector<std::string>& classes, Split& split) {
  auto files = std::make_shared<ImageFiles>(folder);
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const Entries entries = entries_of(dataset, folder / classes[label]);
    const auto before = split.size();
    for (const std::string& name : entries.files) {
      if (!is_jpeg(name)) continue;
      files->add(classes[label] + "/" + name);
      split.labels.push_back(static_cast<std::int32_t>(label));
    }
    require(split.size() > before, "[{}] the class folder {} holds no .jpeg or .jpg files{}; add some, or remove the folder from train/ and val/", dataset,
            (folder / classes[label]).string(), entries.files.empty() ? "" : fmt::format(", but {} others, as {}", entries.files.size(), entries.files[0]));
  }
  split.files = std::move(files);
}

void check_same_classes(const std::string& dataset, const fs::path& directory, const std::vector<std::string>& train, const std::vector<std::string>& val) {
  const auto first_missing = [](const std::vector<std::string>& in, const std::vector<std::string>& of) {
    for (const std::string& name : of) {
      if (!std::binary_search(in.begin(), in.end(), name)) return name;
    }
    return std::string();
  };
  const std::string missing = first_missing(val, train), extra = first_missing(train, val);
  require(missing.empty(), "[{}] {} has no folder '{}', which train/ has: both must have the same classes; add it, or remove it from train/", dataset,
          (directory / "val").string(), missing);
  require(extra.empty(), "[{}] {} has a folder '{}', which train/ has not: both must have the same classes; remove it, or add it to train/", dataset,
          (directory / "val").string(), extra);
}

Dataset load_folders(const std::string& name, const fs::path& directory, const ImageOptions& options) {
  require(options.size >= 1 && options.resize_side >= options.size, "[{}] images of {} pixels from the middle of {}: --resize must be --image-size or more",
          name, options.size, options.resize_side);
  Dataset dataset{.name = name, .class_names = class_folders(name, directory / "train")};
  check_same_classes(name, directory, dataset.class_names, class_folders(name, directory / "val"));
  for (const auto& [folder, split] : {std::pair{"train", &dataset.train}, std::pair{"val", &dataset.test}}) {
    split->height = split->width = options.size;
    split->resize_side = options.resize_side;
    add_files(name, directory / folder, dataset.class_names, *split);
  }
  return dataset;
}

}  // namespace

ChannelStatistics mean_and_deviation_of_files(const Split& split, std::int64_t most) {
  const std::int64_t count = std::min(most, split.size());
  using Channels = std::array<Moments<double>, 3>;
  std::vector<Channels> images(static_cast<std::size_t>(count));
  const Context context(Device::cpu);
  parallel_for(context, count, [&](std::int64_t i) {
    const Context alone(Device::cpu, 1);
    JpegDecoder decoder;
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(split.image_bytes()));
    try {
      const View y(pixels.data(), DType::u8, {1, split.height, split.width, 3});
      load_image(alone, decoder, split.files->path(i * split.size() / count), split.resize_side, nullptr, y);
    } catch (const CorruptImage&) {
      return;
    }
    for (std::size_t c = 0; c < 3; ++c) images[static_cast<std::size_t>(i)][c] = channel_moments(pixels.data() + c, split.height * split.width, 3);
  });
  ChannelStatistics statistics;
  for (std::size_t c = 0; c < 3; ++c) {
    Moments<double> channel;
    for (const Channels& image : images) {
      if (image[c].count > 0) channel.merge(image[c]);
    }
    require(channel.count > 0, "[data] of {} images of {} not one could be decoded", count, split.files->folder().string());
    statistics.mean.push_back(channel.mean);
    // NOTE: images of one colour are left as they are.
    statistics.deviation.push_back(std::max(std::sqrt(channel.variance()), 1e-3));
  }
  return statistics;
}

Dataset load_image_folder(const fs::path& directory, const ImageOptions& options) {
  Dataset dataset = load_folders("imagefolder", directory, options);
  auto statistics = mean_and_deviation_of_files(dataset.train, kMeasured);
  dataset.mean = std::move(statistics.mean);
  dataset.deviation = std::move(statistics.deviation);
  return dataset;
}

Dataset load_imagenet(const fs::path& directory, const ImageOptions& options) {
  Dataset dataset = load_folders("imagenet", directory, options);
  require(dataset.classes() == 1000, "[imagenet] {} holds {} class folders, expected 1000; for other classes there is --dataset imagefolder",
          (directory / "train").string(), dataset.classes());
  dataset.mean = kMean;
  dataset.deviation = kDeviation;
  return dataset;
}

}  // namespace isda
