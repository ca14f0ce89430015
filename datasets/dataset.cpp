// SPDX-License-Identifier: Apache-2.0
#include "datasets/dataset.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "datasets/cifar.h"
#include "datasets/image_files.h"
#include "datasets/image_folder.h"
#include "datasets/shapes.h"
#include "datasets/svhn.h"
#include "kernels/common/moments.h"
#include "kernels/common/nearest.h"

namespace isda {

namespace {

struct Entry {
  std::string name;
  std::function<Dataset(const std::filesystem::path& directory, const ImageOptions& options)> load;
};

// Of images that have one size by themselves.
auto in_memory(Dataset (*load)(const std::filesystem::path&)) {
  return [load](const std::filesystem::path& directory, const ImageOptions&) { return load(directory); };
}

// Every data set there is: a new one is a file of this folder and a line here.
const std::vector<Entry>& entries() {
  static const std::vector<Entry> list{
      {"cifar10", in_memory(load_cifar10)}, {"cifar100", in_memory(load_cifar100)}, {"imagefolder", load_image_folder},        {"imagenet", load_imagenet},
      {"shapes", in_memory(load_shapes)},   {"svhn", in_memory(load_svhn)},         {"svhn_extra", in_memory(load_svhn_extra)}};
  return list;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t c = 0; c < a.size(); ++c) largest = std::max(largest, std::abs(a[c] - b[c]));
  return largest;
}

}  // namespace

Split Split::selected(std::span<const std::int32_t> indices) const {
  Split result{.height = height, .width = width, .channels = channels, .resize_side = resize_side};
  result.labels.reserve(indices.size());
  for (const std::int32_t index : indices) result.labels.push_back(labels[static_cast<std::size_t>(index)]);
  if (are_files()) {
    auto chosen = std::make_shared<ImageFiles>(files->folder());
    for (const std::int32_t index : indices) chosen->add(files->name(index));
    result.files = std::move(chosen);
    return result;
  }
  result.pixels.reserve(indices.size() * static_cast<std::size_t>(image_bytes()));
  for (const std::int32_t index : indices) {
    const auto image = pixels.begin() + index * image_bytes();
    result.pixels.insert(result.pixels.end(), image, image + image_bytes());
  }
  return result;
}

Dataset load_dataset(std::string_view name, const std::filesystem::path& directory, const ImageOptions& options) {
  for (const Entry& entry : entries()) {
    if (entry.name == name) return entry.load(directory, options);
  }
  const std::string meant = nearest(name, dataset_names());
  fail("[data] no data set is called '{}'{}; there are {}", name, meant.empty() ? "" : fmt::format(", did you mean '{}'?", meant),
       fmt::join(dataset_names(), ", "));
}

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Entry& entry : entries()) list.push_back(entry.name);
    return list;
  }();
  return names;
}

Moments<double> channel_moments(const std::uint8_t* pixels, std::int64_t count, std::int64_t stride) {
  Moments<double> moments;
  moments.count = static_cast<double>(count);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += pixels[i * stride];
  moments.mean = sum / moments.count;
  double squares = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double centred = pixels[i * stride] - moments.mean;
    squares += centred * centred;
  }
  moments.m2 = squares;
  return moments;
}

ChannelStatistics mean_and_deviation(const Split& split) {
  require(split.size() > 0, "[data] an empty set of images has no mean and deviation");
  std::vector<Moments<double>> moments(static_cast<std::size_t>(split.channels));
  for (std::int64_t image = 0; image < split.size(); ++image) {
    for (std::int64_t c = 0; c < split.channels; ++c) {
      const std::uint8_t* first = split.pixels.data() + image * split.image_bytes() + c;
      moments[static_cast<std::size_t>(c)].merge(channel_moments(first, split.height * split.width, split.channels));
    }
  }
  ChannelStatistics statistics;
  for (const auto& channel : moments) {
    statistics.mean.push_back(channel.mean);
    statistics.deviation.push_back(std::sqrt(channel.variance()));
  }
  return statistics;
}

std::vector<std::int64_t> class_counts(const Split& split, int classes) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes));
  for (const std::int32_t label : split.labels) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

std::string summary(const Dataset& dataset, std::int64_t most) {
  const bool are_files = dataset.train.are_files();
  const auto measured = are_files ? mean_and_deviation_of_files(dataset.train, most) : mean_and_deviation(dataset.train);
  const auto train_counts = class_counts(dataset.train, dataset.classes());
  const auto test_counts = class_counts(dataset.test, dataset.classes());
  std::size_t width = 5;
  for (const std::string& name : dataset.class_names) width = std::max(width, name.size());

  std::string text = fmt::format("{}: {} training and {} test images{} of {}x{}x{}, {} classes\n", dataset.name, dataset.train.size(), dataset.test.size(),
                                 are_files ? ", brought to a size" : "", dataset.train.height, dataset.train.width, dataset.train.channels, dataset.classes());
  text += fmt::format("normalised with           mean {:.1f}   deviation {:.1f}\n", fmt::join(dataset.mean, " "), fmt::join(dataset.deviation, " "));
  text += fmt::format("measured, training images mean {:.1f}   deviation {:.1f}\n", fmt::join(measured.mean, " "), fmt::join(measured.deviation, " "));
  text += fmt::format("they differ by at most    mean {:.1f}   deviation {:.1f}\n", largest_difference(measured.mean, dataset.mean),
                      largest_difference(measured.deviation, dataset.deviation));
  if (are_files && most < dataset.train.size()) text += fmt::format("measured on {} of the training images, evenly spaced\n", most);
  text += fmt::format("{:>5}  {:<{}} {:>8} {:>8}\n", "label", "class", width, "training", "test");
  for (std::size_t label = 0; label < dataset.class_names.size(); ++label) {
    text += fmt::format("{:>5}  {:<{}} {:>8} {:>8}\n", label, dataset.class_names[label], width, train_counts[label], test_counts[label]);
  }
  return text;
}

}  // namespace isda
