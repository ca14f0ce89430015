// SPDX-License-Identifier: Apache-2.0
// `isda data preview`: training images as a network sees them. A row an image: itself, and what it is in the epochs that follow.
#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "apps/png.h"
#include "datasets/dataset.h"
#include "datasets/loader.h"

namespace isda {
namespace {

struct PreviewFlags {
  std::string dataset, output;
  std::string data_dir = "data";
  std::int64_t images = 8, draws = 8;
  std::uint64_t seed = 0;
  std::int32_t epoch = 1;
  bool augment = true;
  AugmentationNames names;
};

void add_preview_flags(CLI::App& app, PreviewFlags& flags) {
  app.add_option("--dataset", flags.dataset, "the data set's name")->required()->check(one_of(dataset_names()));
  app.add_option("--data-dir", flags.data_dir, "folder with its files")->capture_default_str();
  app.add_option("--output", flags.output, "the PNG file to write")->required();
  app.add_option("--images", flags.images, "how many images, a row each, from the first training image on")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--draws", flags.draws, "how many epochs of each")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--seed", flags.seed, "the run's seed")->capture_default_str();
  app.add_option("--epoch", flags.epoch, "the first of the epochs, counted from 1")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_flag("--augment,!--no-augment", flags.augment, "random crop and flip");
  app.add_option("--policy", flags.names.policy, "as of isda train")->capture_default_str();
  app.add_option("--color-jitter", flags.names.color_jitter, "as of isda train")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--cutout", flags.names.cutout, "as of isda train")->expected(0, 1)->default_str("16")->option_text("[LENGTH]")->check(CLI::Range(0, 1 << 20));
  app.add_option("--cutout-holes", flags.names.cutout_holes, "as of isda train")->check(CLI::Range(1, 1024))->capture_default_str();
}

// The images of an epoch as bytes again, which a loader has normalised.
std::vector<std::uint8_t> bytes_of(Loader& loader, std::int32_t epoch, const Dataset& dataset) {
  std::vector<std::uint8_t> bytes;
  for (const Batch& batch : loader.epoch(epoch)) {
    const auto* values = batch.images.as<float>();
    for (std::int64_t i = 0; i < batch.images.size(); ++i) {
      const auto c = static_cast<std::size_t>(i % batch.images.extent(3));
      bytes.push_back(static_cast<std::uint8_t>(std::clamp(std::lround(values[i] * dataset.deviation[c] + dataset.mean[c]), 0L, 255L)));
    }
  }
  return bytes;
}

// Images in rows and columns, small ones enlarged, on white.
class Sheet {
 public:
  Sheet(std::int64_t rows, std::int64_t columns, const Split& split)
      : split_(split),
        zoom_(std::max<std::int64_t>(1, kLeastHeight / split.height)),
        picture_{kGap + rows * (zoom_ * split.height + kGap), kGap + columns * (zoom_ * split.width + kGap)} {
    picture_.pixels.assign(static_cast<std::size_t>(picture_.height * picture_.width * 3), 255);
  }

  void put(std::int64_t row, std::int64_t column, const std::uint8_t* image) {
    const std::int64_t H = zoom_ * split_.height, W = zoom_ * split_.width, C = split_.channels;
    for (std::int64_t h = 0; h < H; ++h) {
      for (std::int64_t w = 0; w < W; ++w) {
        const std::uint8_t* from = image + (h / zoom_ * split_.width + w / zoom_) * C;
        std::uint8_t* to = picture_.pixels.data() + ((kGap + row * (H + kGap) + h) * picture_.width + kGap + column * (W + kGap) + w) * 3;
        for (std::int64_t c = 0; c < 3; ++c) to[c] = from[std::min(c, C - 1)];
      }
    }
  }

  const Picture& picture() const { return picture_; }

 private:
  static constexpr std::int64_t kGap = 4, kLeastHeight = 64;

  const Split& split_;
  const std::int64_t zoom_;
  Picture picture_;
};

int run_preview(const PreviewFlags& flags) {
  const Augmentation augmentation = [&] {
    try {
      return augmentation_of(flags.names);
    } catch (const Error& error) {
      throw UsageError(error.what());
    }
  }();
  const Dataset dataset = load_dataset(flags.dataset, flags.data_dir);
  const Split& split = dataset.train;
  const std::int64_t images = std::min(flags.images, split.size());
  Sheet sheet(images, 1 + flags.draws, split);
  const auto put_column = [&](std::int64_t column, const std::vector<std::uint8_t>& bytes) {
    for (std::int64_t row = 0; row < images; ++row) sheet.put(row, column, bytes.data() + row * split.image_bytes());
  };
  // NOTE: by the loader that training takes its batches from.
  LoaderOptions options{.batch_size = images, .seed = flags.seed, .is_shuffled = false, .is_augmented = false, .limit = images, .workers = 0};
  Loader plain(split, dataset.mean, dataset.deviation, options);
  put_column(0, bytes_of(plain, 0, dataset));
  options.is_augmented = flags.augment;
  options.augmentation = augmentation;
  Loader augmented(split, dataset.mean, dataset.deviation, options);
  // NOTE: epochs are counted from 0 where they are drawn from.
  for (std::int32_t draw = 0; draw < flags.draws; ++draw) put_column(1 + draw, bytes_of(augmented, flags.epoch - 1 + draw, dataset));
  write_png(flags.output, sheet.picture());
  fmt::print("{}: {} images of {}, each as it is and in {} epochs from epoch {} on, seed {}; {}x{} pixels\n", flags.output, images, dataset.name, flags.draws,
             flags.epoch, flags.seed, sheet.picture().width, sheet.picture().height);
  return 0;
}

const Subcommand preview{{.name = "data preview",
                          .help = "training images as they are augmented, on a sheet in a PNG file",
                          .declare = with_flags(add_preview_flags, run_preview),
                          .aliases = {{"--n-holes", {"--cutout-holes"}}}}};

}  // namespace
}  // namespace isda
