// SPDX-License-Identifier: Apache-2.0
// A data set, in memory or as files that are decoded when a batch is made of them, and how one is found by its name.
//
//   images (M,H,W,C) u8      labels (M) i32 in [0,classes)      mean, deviation (C) in units of the bytes
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/moments.h"
#include "kernels/common/view.h"

namespace isda {

class ImageFiles;

// The training, the held-out or the test images, in the order of their files.
struct Split {
  std::int64_t height = 32, width = 32, channels = 3;
  std::vector<std::uint8_t> pixels;  // images one after the other, each (H,W,C); none where they are files
  std::vector<std::int32_t> labels;
  std::shared_ptr<const ImageFiles> files = nullptr;  // datasets/image_files.h: one for each label, of any size
  std::int64_t resize_side = 0;                       // of files: what the shorter side becomes before the middle is taken

  bool are_files() const { return files != nullptr; }

  // Those of `indices` alone, in their order.
  Split selected(std::span<const std::int32_t> indices) const;

  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
  std::int64_t image_bytes() const { return height * width * channels; }
  ConstView images() const { return ConstView(pixels.data(), DType::u8, {static_cast<std::int64_t>(pixels.size()) / image_bytes(), height, width, channels}); }
};

struct Dataset {
  std::string name;
  std::vector<std::string> class_names;
  Split train = {}, test = {};
  Split validation = {};                          // training images that are held out (datasets/validation.h); mostly none
  std::vector<double> mean = {}, deviation = {};  // what images are normalised with

  int classes() const { return static_cast<int>(class_names.size()); }
};

// What images that are files become.
struct ImageOptions {
  std::int64_t size = 224;         // height and width of what a network sees
  std::int64_t resize_side = 256;  // evaluation: of the shorter side, before the middle is taken
};

// Reads the data set called `name` (dataset_names()) from its files in `directory`.
// Throws Error for an unknown name, with the nearest known one, and for files that are missing, incomplete or not what they should be.
Dataset load_dataset(std::string_view name, const std::filesystem::path& directory, const ImageOptions& options = {});
const std::vector<std::string>& dataset_names();

// Mean and (biased) deviation of each channel over all pixels of all images; the moments of the images are merged in order.
struct ChannelStatistics {
  std::vector<double> mean, deviation;
};
ChannelStatistics mean_and_deviation(const Split& split);
// Of one channel of one image: every `stride`-th of its bytes. Two passes: the mean first, then the squares about it.
Moments<double> channel_moments(const std::uint8_t* pixels, std::int64_t count, std::int64_t stride);

// How many images each class has.
std::vector<std::int64_t> class_counts(const Split& split, int classes);

// The data set on a page: sizes, images per class, the constants it is normalised with and those measured on its training images: where these are files, on at
// most `most` of them, evenly spaced.
std::string summary(const Dataset& dataset, std::int64_t most);

}  // namespace isda
