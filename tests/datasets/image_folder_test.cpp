// SPDX-License-Identifier: Apache-2.0
// Folders of JPEG files: what is in them, what is wrong with them, and the batches that are made of them.
#include "datasets/image_folder.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "datasets/image_files.h"
#include "datasets/loader.h"
#include "datasets/validation.h"
#include "tests/datasets/files.h"
#include "tests/datasets/jpeg_files.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

constexpr ImageOptions kSmall{.size = 16, .resize_side = 20};

class ImageFolder : public testing::Test {
 public:
  // train: cat 5, dog 4, eel 3; val: 2 each. Sizes differ, endings too.
  ImageFolder() {
    int seed = 0;
    for (const auto& [name, count] : {std::pair{"dog", 4}, {"cat", 5}, {"eel", 3}}) {
      for (const char* split : {"train", "val"}) {
        const fs::path path = folder.path() / split / name;
        fs::create_directories(path);
        for (int i = 0; i < (split[0] == 't' ? count : 2); ++i, ++seed) {
          write_text(path / fmt::format("{}_{}{}", name, i,
                                        i % 3 == 0   ? ".JPEG"
                                        : i % 3 == 1 ? ".jpg"
                                                     : ".jpeg"),
                     jpeg_of(waves(30 + 7 * (seed % 4), 35 + 5 * (seed % 3), seed % 5 == 0 ? 1 : 3, seed)));
        }
      }
    }
    write_text(folder.path() / "train/cat/readme.txt", "not an image");
    write_text(folder.path() / "train/.hidden", "");
  }

  Dataset load() const { return load_dataset("imagefolder", folder.path(), kSmall); }
  std::string error() const {
    return message_of([&] { load(); });
  }
  void damage(const std::string& name) const {
    write_text(folder.path() / name, read_text(folder.path() / name).substr(0, fs::file_size(folder.path() / name) - 30));
  }

  const TemporaryFolder folder;
};

struct Taken {
  std::vector<std::int32_t> indices, labels;
  std::vector<float> images;
  bool operator==(const Taken&) const = default;
};

Taken take(Loader& loader, std::int32_t epoch) {
  Taken taken;
  for (const Batch& batch : loader.epoch(epoch)) {
    const auto append = [](const ConstView& view, auto& list, auto* first) { list.insert(list.end(), first, first + view.size()); };
    append(batch.indices, taken.indices, batch.indices.as<std::int32_t>());
    append(batch.labels, taken.labels, batch.labels.as<std::int32_t>());
    append(batch.images, taken.images, batch.images.as<float>());
  }
  return taken;
}

TEST_F(ImageFolder, NumbersClassesByName) {
  const Dataset dataset = load();
  EXPECT_EQ(dataset.name, "imagefolder");
  EXPECT_EQ(dataset.class_names, (std::vector<std::string>{"cat", "dog", "eel"}));
  EXPECT_EQ(dataset.train.labels, (std::vector<std::int32_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(dataset.test.labels, (std::vector<std::int32_t>{0, 0, 1, 1, 2, 2}));
  ASSERT_TRUE(dataset.train.are_files());
  EXPECT_EQ(dataset.train.files->name(1), "cat/cat_1.jpg");
  EXPECT_EQ(dataset.train.files->path(9), folder.path() / "train" / "eel/eel_0.JPEG");
  EXPECT_EQ(dataset.train.height, 16);
  EXPECT_EQ(dataset.test.resize_side, 20);
  EXPECT_EQ(dataset.train.files->size(), dataset.train.size());
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_GT(dataset.mean[c], 80);
    EXPECT_LT(dataset.mean[c], 170);
    EXPECT_GT(dataset.deviation[c], 20);
  }
}

TEST_F(ImageFolder, SaysWhatIsWrong) {
  EXPECT_PRED2(contains, message_of([&] { load_dataset("imagefolder", folder.path() / "gone"); }),
               "[imagefolder] there is no folder " + (folder.path() / "gone/train").string() + " (--data-dir); expected are train/CLASS/*.jpeg and val/CLASS");
  EXPECT_PRED2(contains, message_of([&] { load_dataset("imagenet", folder.path()); }),
               "holds 3 class folders, expected 1000; for other classes there is --dataset imagefolder");
  EXPECT_PRED2(contains, message_of([&] { load_dataset("imagefolder", folder.path(), {.size = 30, .resize_side = 20}); }),
               "--resize must be --image-size or more");

  fs::create_directory(folder.path() / "val/fox");
  EXPECT_PRED2(contains, error(), "val has a folder 'fox', which train/ has not");
  fs::create_directory(folder.path() / "train/fox");
  EXPECT_PRED2(contains, error(), "the class folder " + (folder.path() / "train/fox").string() + " holds no .jpeg or .jpg files; add some");
  write_text(folder.path() / "train/fox/a.png", "");
  EXPECT_PRED2(contains, error(), "holds no .jpeg or .jpg files, but 1 others, as a.png");
  fs::remove_all(folder.path() / "val/fox");
  EXPECT_PRED2(contains, error(), "val has no folder 'fox', which train/ has");
  fs::remove_all(folder.path() / "train/fox");
  EXPECT_EQ(error(), "");
  fs::rename(folder.path() / "val", folder.path() / "validation");
  EXPECT_PRED2(contains, error(), "there is no folder " + (folder.path() / "val").string());
  fs::create_directory(folder.path() / "val");
  write_text(folder.path() / "val/a.JPEG", "");
  EXPECT_PRED2(contains, error(), "val holds no folders, but 1 files; sort them into a folder for each class");
}

TEST_F(ImageFolder, BatchesDoNotDependOnTheWorkers) {
  const Dataset dataset = load();
  Loader alone(dataset.train, dataset.mean, dataset.deviation, {.batch_size = 5, .seed = 2, .workers = 0});
  Loader three(dataset.train, dataset.mean, dataset.deviation, {.batch_size = 5, .seed = 2, .workers = 3});
  const Taken zero = take(alone, 0), one = take(alone, 1);
  EXPECT_EQ(take(three, 0), zero);
  EXPECT_EQ(take(three, 1), one);
  EXPECT_NE(zero.images, one.images);
  EXPECT_EQ(zero.images.size(), 12u * 16 * 16 * 3);
  // An image's crop is its own, whatever batch it is in.
  Loader in_order(dataset.train, dataset.mean, dataset.deviation, {.batch_size = 3, .seed = 2, .is_shuffled = false, .workers = 0});
  const Taken ordered = take(in_order, 1);
  for (std::size_t n = 0; n < 12; ++n) {
    const auto place = static_cast<std::ptrdiff_t>(std::find(one.indices.begin(), one.indices.end(), static_cast<std::int32_t>(n)) - one.indices.begin());
    EXPECT_TRUE(std::equal(ordered.images.begin() + static_cast<std::ptrdiff_t>(n) * 768, ordered.images.begin() + static_cast<std::ptrdiff_t>(n + 1) * 768,
                           one.images.begin() + place * 768))
        << n;
  }
}

// A policy and Cutout do to what was decoded what they do to the same bytes in memory: their draws are those of the image's index.
TEST_F(ImageFolder, PoliciesAreOfWhatWasDecoded) {
  const Dataset dataset = load();
  const std::vector<double> zeros(3, 0), ones(3, 1);
  LoaderOptions options{.batch_size = 5, .seed = 3};
  Loader plain(dataset.train, zeros, ones, options);
  const Taken decoded = take(plain, 2);
  Split in_memory{.height = 16, .width = 16, .labels = dataset.train.labels};
  in_memory.pixels.resize(decoded.images.size());
  const auto image_size = static_cast<std::ptrdiff_t>(in_memory.image_bytes());
  for (std::size_t n = 0; n < decoded.indices.size(); ++n)
    std::copy_n(decoded.images.begin() + static_cast<std::ptrdiff_t>(n) * image_size, image_size, in_memory.pixels.begin() + decoded.indices[n] * image_size);

  options.augmentation = augmentation_of({.policy = "randaugment:2:9", .cutout = 6});
  options.workers = 2;
  Loader of_files(dataset.train, zeros, ones, options);
  options.is_augmented = false;
  Loader of_memory(in_memory, zeros, ones, options);
  const Taken got = take(of_files, 2);
  EXPECT_TRUE(got == take(of_memory, 2));
  EXPECT_NE(got.images, decoded.images);
}

TEST_F(ImageFolder, EvaluationTakesTheMiddleNormalised) {
  const Dataset dataset = load();
  Loader loader(dataset.test, dataset.mean, dataset.deviation, {.batch_size = 6, .is_shuffled = false, .is_augmented = false, .workers = 0});
  const Taken taken = take(loader, 0);
  EXPECT_EQ(taken, take(loader, 1));
  JpegDecoder decoder;
  std::vector<std::uint8_t> pixels(768);
  load_image(Context(Device::cpu, 1), decoder, dataset.test.files->path(4), 20, nullptr, View(pixels.data(), DType::u8, {1, 16, 16, 3}));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    ASSERT_NEAR(taken.images[4 * 768 + i], (pixels[i] - dataset.mean[i % 3]) / dataset.deviation[i % 3], 1e-5) << i;
  }
}

TEST_F(ImageFolder, ACorruptImageIsFatalOrReplaced) {
  const Dataset dataset = load();
  LoaderOptions options{.batch_size = 5, .seed = 2, .workers = 2};
  Loader sound(dataset.train, dataset.mean, dataset.deviation, options);
  const Taken expected = take(sound, 3);
  damage("train/cat/cat_4.jpg");
  damage("train/dog/dog_0.JPEG");
  {
    Loader loader(dataset.train, dataset.mean, dataset.deviation, options);
    const std::string message = message_of([&] { take(loader, 3); });
    EXPECT_PRED2(contains, message, "bytes; replace or remove it, or train with --on-corrupt skip");
    EXPECT_PRED2(contains, message, "is no whole JPEG: it is truncated, after ");
    EXPECT_PRED2(contains, message, (folder.path() / "train").string());
  }
  options.replaces_corrupt = true;
  Loader loader(dataset.train, dataset.mean, dataset.deviation, options);
  const Taken replaced = take(loader, 3);
  EXPECT_EQ(loader.replaced(), 2);
  EXPECT_PRED2(contains, loader.first_replaced(), "is no whole JPEG");
  // Images 4 and 5 are dog_1, which is 6; the others are what they were.
  for (std::size_t n = 0; n < 12; ++n) {
    const bool is_damaged = expected.indices[n] == 4 || expected.indices[n] == 5;
    EXPECT_EQ(replaced.indices[n], is_damaged ? 6 : expected.indices[n]);
    EXPECT_EQ(replaced.labels[n], dataset.train.labels[static_cast<std::size_t>(replaced.indices[n])]);
    if (!is_damaged) {
      EXPECT_TRUE(std::equal(replaced.images.begin() + static_cast<std::ptrdiff_t>(n * 768),
                             replaced.images.begin() + static_cast<std::ptrdiff_t>(n * 768 + 768),
                             expected.images.begin() + static_cast<std::ptrdiff_t>(n * 768)));
    }
  }
  EXPECT_EQ(take(loader, 3), replaced);
  EXPECT_EQ(loader.replaced(), 2);
  options.workers = 0;
  Loader alone(dataset.train, dataset.mean, dataset.deviation, options);
  EXPECT_EQ(take(alone, 3), replaced);
  EXPECT_EQ(load().train.size(), 12);  // its constants are measured on those that can be decoded
}

TEST_F(ImageFolder, WhereNoImageCanBeDecodedThereIsAnEnd) {
  const Dataset dataset = load();
  for (std::int64_t i = 0; i < dataset.train.size(); ++i) write_text(dataset.train.files->path(i), "x");
  Loader loader(dataset.train, dataset.mean, dataset.deviation, {.batch_size = 5, .workers = 1, .replaces_corrupt = true});
  EXPECT_PRED2(contains, message_of([&] { take(loader, 0); }), "[loader] not one of 12 images could be decoded; the last: [");
  EXPECT_PRED2(contains, error(), "not one could be decoded");
}

TEST_F(ImageFolder, HoldsOutFiles) {
  Dataset dataset = load();
  hold_out(dataset, 3);
  ASSERT_EQ(dataset.validation.size(), 3);
  ASSERT_EQ(dataset.train.size(), 9);
  EXPECT_EQ(dataset.validation.labels, (std::vector<std::int32_t>{0, 1, 2}));
  std::set<std::string> names;
  for (const Split* split : {&dataset.train, &dataset.validation}) {
    ASSERT_EQ(split->files->size(), split->size());
    EXPECT_EQ(split->height, 16);
    EXPECT_EQ(split->resize_side, 20);
    for (std::int64_t i = 0; i < split->size(); ++i) {
      EXPECT_EQ(split->files->name(i).substr(0, 3), dataset.class_names[static_cast<std::size_t>(split->labels[static_cast<std::size_t>(i)])]);
      EXPECT_TRUE(fs::exists(split->files->path(i)));
      names.emplace(split->files->name(i));
    }
  }
  EXPECT_EQ(names.size(), 12u);
}

TEST(MeanAndDeviationOfFiles, AreThoseOfTheirPixels) {
  const TemporaryFolder folder;
  Split split{.height = 8, .width = 8, .resize_side = 8};
  auto files = std::make_shared<ImageFiles>(folder.path());
  for (const int value : {40, 100}) {
    Picture plain{16, 16, 3, std::vector<std::uint8_t>(16 * 16 * 3, static_cast<std::uint8_t>(value))};
    write_text(folder.path() / std::to_string(value), jpeg_of(plain, {.quality = 100}));
    files->add(std::to_string(value));
    split.labels.push_back(0);
  }
  split.files = files;
  const auto both = mean_and_deviation_of_files(split, 100), first = mean_and_deviation_of_files(split, 1);
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(both.mean[c], 70, 1e-9);
    EXPECT_NEAR(both.deviation[c], 30, 1e-9);
    EXPECT_NEAR(first.mean[c], 40, 1e-9);
    EXPECT_NEAR(first.deviation[c], 1e-3, 1e-12);
  }
}

}  // namespace
}  // namespace isda
