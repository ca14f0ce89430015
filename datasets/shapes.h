// SPDX-License-Identifier: Apache-2.0
// `shapes`: a procedural data set of ten classes of 32x32 images, so that everything can be tried without a download.
//
// An image shows one shape. What varies besides the class - colours, background, texture, rotation, scale, position, occlusion,
// noise - is drawn from Philox keyed by (seed, split, index) and written down in factors.csv, a row an image.
// Image i of a split does not depend on how many there are: a smaller set is the beginning of a larger one.
// Drawn in integers throughout: the same seed gives the same bytes with every compiler, processor and number of threads.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "datasets/dataset.h"
#include "kernels/common/context.h"

namespace isda {

enum class ShapeClass : std::uint8_t { circle, ring, triangle, square, star, cross, crescent, heart, arrow, hourglass };
enum class Backdrop : std::uint8_t { plain, gradient, stripes, checks, clouds };
enum class Texture : std::uint8_t { plain, shaded, stripes, dots, checks };
enum class Occluder : std::uint8_t { none, bar, disc };

inline constexpr std::array<std::string_view, 10> kShapeNames{"circle", "ring",     "triangle", "square", "star",
                                                              "cross",  "crescent", "heart",    "arrow",  "hourglass"};
inline constexpr std::array<std::string_view, 5> kBackdropNames{"plain", "gradient", "stripes", "checks", "clouds"};
inline constexpr std::array<std::string_view, 5> kTextureNames{"plain", "shaded", "stripes", "dots", "checks"};
inline constexpr std::array<std::string_view, 3> kOccluderNames{"none", "bar", "disc"};

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
  bool operator==(const Colour&) const = default;
};

// Which image: the pair everything random of it is keyed by, besides the seed.
struct ShapeKey {
  std::uint64_t seed = 0;
  bool is_test = false;
  std::int64_t index = 0;
};

// Lengths are in sixteenths of a pixel, angles in degrees clockwise.
struct ShapeFactors {
  ShapeClass shape{};
  Colour colour, second_colour;  // the texture's two
  Texture texture{};
  int texture_period = 0;
  int rotation = 0;
  int radius = 0;    // of the circle around the shape
  int x = 0, y = 0;  // its centre, from the upper left corner
  Backdrop backdrop{};
  Colour backdrop_colour, backdrop_second_colour;
  int backdrop_angle = 0;
  int backdrop_period = 0;
  Occluder occluder{};
  Colour occluder_colour;
  int occluder_angle = 0;   // of the bar; of the disc: where it lies, seen from the shape's centre
  int occluder_offset = 0;  // of its centre (bar: centre line) from the shape's
  int occluder_size = 0;    // half the bar's width, the disc's radius
  int noise = 0;            // the largest change of a byte
};

ShapeFactors draw_factors(const ShapeKey& key);

// Draws the image into (32,32,3) bytes; returns the share of the shape that the occluder hides, in percent.
int render_shape(const ShapeKey& key, const ShapeFactors& factors, std::uint8_t* pixels);

struct ShapesOptions {
  std::filesystem::path directory;
  std::int64_t train = 5000, test = 1000;
  std::uint64_t seed = 1;
};

// Writes data_batch_1.bin .. data_batch_5.bin, test_batch.bin, batches.meta.txt (the CIFAR-10 binary format, datasets/cifar.h)
// and factors.csv. Throws rather than overwrite files it did not make.
void make_shapes(const Context& context, const ShapesOptions& options);

// The normalisation constants are those of the training images that are there.
Dataset load_shapes(const std::filesystem::path& directory);

}  // namespace isda
