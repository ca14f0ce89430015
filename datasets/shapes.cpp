// SPDX-License-Identifier: Apache-2.0
// What is drawn for an image of `shapes`, and its files.
#include "datasets/shapes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "core/atomic_file.h"
#include "datasets/cifar.h"
#include "datasets/shape_draws.h"
#include "kernels/common/parallel.h"

namespace isda {

namespace fs = std::filesystem;

namespace {

constexpr int kPixel = 16;
constexpr int kMiddle = 16 * kPixel;
constexpr int kBatches = 5;

// How often each kind occurs: every entry is as likely as any other.
constexpr std::array<Backdrop, 10> kBackdrops{Backdrop::plain,    Backdrop::plain,  Backdrop::plain,  Backdrop::gradient, Backdrop::gradient,
                                              Backdrop::gradient, Backdrop::clouds, Backdrop::clouds, Backdrop::stripes,  Backdrop::checks};
constexpr std::array<Texture, 5> kTextures{Texture::plain, Texture::shaded, Texture::stripes, Texture::dots, Texture::checks};
constexpr std::array<Occluder, 6> kOccluders{Occluder::none, Occluder::none, Occluder::none, Occluder::none, Occluder::bar, Occluder::disc};

template <class Choice, std::size_t count>
Choice any_of(ShapeDraws& draws, const std::array<Choice, count>& choices) {
  return choices[static_cast<std::size_t>(draws.between(0, static_cast<int>(count) - 1))];
}

// Of ten images in a row each class is one, in random order.
ShapeClass class_of(const ShapeKey& key) {
  const auto classes = static_cast<std::int64_t>(kShapeNames.size());
  ShapeDraws draws({key.seed, key.is_test, key.index / classes}, ShapeDraw::order_of_classes);
  std::array<ShapeClass, kShapeNames.size()> order{};
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<ShapeClass>(i);
  for (std::size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[static_cast<std::size_t>(draws.between(0, static_cast<int>(i)))]);
  return order[static_cast<std::size_t>(key.index % classes)];
}

// hue in [0, 1536): red, yellow, green, cyan, blue, magenta, 256 apart; saturation and value in percent.
Colour colour_of(int hue, int saturation, int value) {
  const auto channel = [&](int shift) {
    const int position = (hue + shift) % 1536;
    const int full = std::clamp(std::abs(position - 768) - 256, 0, 255);
    return static_cast<std::uint8_t>((255 * (100 - saturation) + full * saturation) * value / 10000);
  };
  return {channel(0), channel(1024), channel(512)};
}

int difference(const Colour& a, const Colour& b) { return std::abs(a.red - b.red) + std::abs(a.green - b.green) + std::abs(a.blue - b.blue); }

Colour scaled(const Colour& colour, int percent) {
  const auto channel = [&](int value) { return static_cast<std::uint8_t>(std::min(value * percent / 100, 255)); };
  return {channel(colour.red), channel(colour.green), channel(colour.blue)};
}

struct Percents {
  int low, high;
};

// NOTE: a statement for each draw, since the order in which arguments are evaluated is the compiler's choice.
Colour draw_colour(ShapeDraws& draws, const Percents& saturations, const Percents& values) {
  const int hue = draws.between(0, 1535);
  const int saturation = draws.between(saturations.low, saturations.high);
  const int value = draws.between(values.low, values.high);
  return colour_of(hue, saturation, value);
}

Colour draw_backdrop_colour(ShapeDraws& draws) { return draw_colour(draws, {0, 70}, {10, 100}); }

// A darker or a lighter colour of the same hue.
Colour draw_shade(ShapeDraws& draws, const Colour& colour, const Percents& darker, const Percents& lighter) {
  const Percents& range = draws.between(0, 1) ? darker : lighter;
  return scaled(colour, draws.between(range.low, range.high));
}

// A colour that stands out from both colours of the backdrop.
Colour draw_distinct_colour(ShapeDraws& draws, const ShapeFactors& f, int least_difference) {
  for (;;) {
    const Colour colour = draw_colour(draws, {30, 100}, {45, 100});
    if (difference(colour, f.backdrop_colour) >= least_difference && difference(colour, f.backdrop_second_colour) >= least_difference) return colour;
  }
}

std::string text_of(const Colour& colour) { return fmt::format("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue); }

constexpr const char* kColumns =
    "file,record,label,class,colour,second_colour,texture,texture_period,rotation,radius,x,y,backdrop,backdrop_colour,backdrop_second_colour,"
    "backdrop_angle,backdrop_period,occluder,occluder_colour,occluder_angle,occluder_offset,occluder_size,hidden_percent,noise\n";

// One line of factors.csv; lengths in pixels.
std::string row_of(const std::string& file, std::int64_t record, const ShapeFactors& f, int hidden_percent) {
  const auto name = [](const auto& names, auto choice) { return names[static_cast<std::size_t>(choice)]; };
  const auto pixels = [](int length) { return static_cast<double>(length) / kPixel; };
  return fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", file, record, static_cast<int>(f.shape),
                     name(kShapeNames, f.shape), text_of(f.colour), text_of(f.second_colour), name(kTextureNames, f.texture), pixels(f.texture_period),
                     f.rotation, pixels(f.radius), pixels(f.x), pixels(f.y), name(kBackdropNames, f.backdrop), text_of(f.backdrop_colour),
                     text_of(f.backdrop_second_colour), f.backdrop_angle, pixels(f.backdrop_period), name(kOccluderNames, f.occluder),
                     text_of(f.occluder_colour), f.occluder_angle, pixels(f.occluder_offset), pixels(f.occluder_size), hidden_percent, f.noise);
}

// Draws images [first, first + count) of a split, writes them as `file` and adds their rows to `rows`.
void write_batch(const Context& context, const ShapesOptions& options, const std::string& file, bool is_test, std::int64_t first, std::int64_t count,
                 std::string& rows) {
  Split split;
  split.pixels.resize(static_cast<std::size_t>(count * split.image_bytes()));
  split.labels.resize(static_cast<std::size_t>(count));
  std::vector<std::string> rows_of_images(static_cast<std::size_t>(count));
  parallel_for(context, count, [&](std::int64_t i) {
    const ShapeKey key{options.seed, is_test, first + i};
    const ShapeFactors factors = draw_factors(key);
    const int hidden_percent = render_shape(key, factors, split.pixels.data() + i * split.image_bytes());
    split.labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(factors.shape);
    rows_of_images[static_cast<std::size_t>(i)] = row_of(file, i, factors, hidden_percent);
  });
  const auto records = cifar10_records(split, 0, count);
  write_atomically(options.directory / file, std::string_view(reinterpret_cast<const char*>(records.data()), records.size()));
  for (const std::string& row : rows_of_images) rows += row;
}

}  // namespace

ShapeFactors draw_factors(const ShapeKey& key) {
  ShapeDraws draws(key, ShapeDraw::factors);
  ShapeFactors f;
  f.shape = class_of(key);

  // The backdrop: two colours, mostly two shades of one.
  f.backdrop = any_of(draws, kBackdrops);
  f.backdrop_colour = draw_backdrop_colour(draws);
  const bool is_one_hue = draws.between(0, 9) > 0;
  f.backdrop_second_colour = is_one_hue ? draw_shade(draws, f.backdrop_colour, {70, 90}, {110, 130}) : draw_backdrop_colour(draws);
  f.backdrop_angle = draws.between(0, 359);
  f.backdrop_period = draws.between(3 * kPixel, 8 * kPixel);

  // The shape's surface.
  f.colour = draw_distinct_colour(draws, f, 230);
  f.texture = any_of(draws, kTextures);
  f.second_colour = draw_shade(draws, f.colour, {65, 85}, {115, 135});
  f.texture_period = draws.between(2 * kPixel, 4 * kPixel);

  // Where it is; it may leave the picture by a pixel.
  f.rotation = draws.between(-18, 18);
  f.radius = draws.between(10 * kPixel, 14 * kPixel);
  const int room = std::min(kMiddle - f.radius + kPixel, 7 * kPixel / 2);
  f.x = kMiddle + draws.between(-room, room);
  f.y = kMiddle + draws.between(-room, room);

  // What stands before it.
  f.occluder = any_of(draws, kOccluders);
  f.occluder_colour = draw_distinct_colour(draws, f, 90);
  f.occluder_angle = draws.between(0, 359);
  f.occluder_offset = draws.between(f.radius / 4, f.radius);
  f.occluder_size = f.occluder == Occluder::disc ? draws.between(f.radius / 4, f.radius / 2) : draws.between(kPixel / 2, 2 * kPixel);

  f.noise = draws.between(0, 24);
  return f;
}

void make_shapes(const Context& context, const ShapesOptions& options) {
  require(options.train >= kBatches, "[shapes] {} training images, expected at least {}: one for each of the files data_batch_1.bin to data_batch_{}.bin",
          options.train, kBatches, kBatches);
  require(options.test >= 1, "[shapes] {} test images, expected at least 1", options.test);
  const fs::path& directory = options.directory;
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error, "[shapes] the directory {} cannot be made: {}", directory.string(), error.message());
  require(!fs::exists(directory / "data_batch_1.bin") || fs::exists(directory / "factors.csv"),
          "[shapes] {} holds data_batch_1.bin but no factors.csv: another data set, which would be overwritten; name another directory", directory.string());

  // NOTE: batches.meta.txt goes first and comes last, so that a set that was interrupted cannot be read as a whole one.
  fs::remove(directory / "batches.meta.txt", error);
  write_atomically(directory / "factors.csv", kColumns);
  std::string rows = kColumns;
  for (std::int64_t batch = 0; batch < kBatches; ++batch) {
    const std::int64_t first = options.train * batch / kBatches, end = options.train * (batch + 1) / kBatches;
    write_batch(context, options, fmt::format("data_batch_{}.bin", batch + 1), false, first, end - first, rows);
  }
  write_batch(context, options, "test_batch.bin", true, 0, options.test, rows);
  write_atomically(directory / "factors.csv", rows);
  write_atomically(directory / "batches.meta.txt", fmt::format("{}\n", fmt::join(kShapeNames, "\n")));
}

Dataset load_shapes(const fs::path& directory) {
  const CifarFormat format{.dataset = "shapes", .label_kinds = {10}, .advice = "make the data set with `isda data make-shapes --output DIR`"};
  const CifarFiles files(format, directory, {.file = "data_batch_1.bin", .folder = "shapes", .archive = ""});
  const CifarFile meta = files.file("batches.meta.txt");
  Dataset dataset{.name = "shapes", .class_names = read_class_names(format, meta)};
  require(std::equal(dataset.class_names.begin(), dataset.class_names.end(), kShapeNames.begin(), kShapeNames.end()),
          "[shapes] the classes in {} are {}, expected {}: another data set in the same format, perhaps --dataset cifar10?", meta.path.string(),
          fmt::join(dataset.class_names, " "), fmt::join(kShapeNames, " "));
  read_cifar_files(format, files.cifar10_batches(0), {files.file("test_batch.bin")}, dataset);
  auto statistics = mean_and_deviation(dataset.train);
  dataset.mean = std::move(statistics.mean);
  dataset.deviation = std::move(statistics.deviation);
  return dataset;
}

}  // namespace isda
