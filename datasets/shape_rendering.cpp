// SPDX-License-Identifier: Apache-2.0
// How an image of `shapes` is drawn: 4x4 samples a pixel, each the colour of the front-most thing there, averaged; then noise.
//
// NOTE: integers only, for the same bytes everywhere: floating point differs with the compiler's use of fused multiply-adds.
// Lengths are in sixteenths of a pixel; inside the shape's own frame 1024 is the radius of the circle around it.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "datasets/shape_draws.h"

namespace isda {

namespace {

constexpr int kPixel = 16;
constexpr int kWidth = 32;
constexpr int kSamples = 4;  // along each side of a pixel
constexpr int kSineBits = 12;
constexpr int kSine = 1 << kSineBits;  // sine of 90 degrees
constexpr int kUnit = 1024;

// Sines of 0 to 90 degrees, from the power series at compile time.
constexpr std::array<int, 91> kSines = [] {
  std::array<int, 91> sines{};
  for (int degrees = 0; degrees <= 90; ++degrees) {
    const double x = degrees * 3.14159265358979323846 / 180;
    double term = x, sum = x;
    for (int n = 1; n < 12; ++n) {
      term *= -x * x / (2 * n * (2 * n + 1));
      sum += term;
    }
    sines[static_cast<std::size_t>(degrees)] = static_cast<int>(sum * kSine + 0.5);
  }
  return sines;
}();

constexpr int sine(int degrees) {
  degrees = (degrees % 360 + 360) % 360;
  const int folded = degrees % 180 <= 90 ? degrees % 180 : 180 - degrees % 180;
  const int value = kSines[static_cast<std::size_t>(folded)];
  return degrees < 180 ? value : -value;
}
constexpr int cosine(int degrees) { return sine(degrees + 90); }

// A point or a displacement: x to the right, y down.
struct Point {
  int x, y;
};

constexpr int squared(const Point& p) { return p.x * p.x + p.y * p.y; }

// The axes turned by `degrees`: what of `p` lies along them.
class Frame {
 public:
  explicit Frame(int degrees) : sine_(sine(degrees)), cosine_(cosine(degrees)) {}
  Point operator()(const Point& p) const { return {(p.x * cosine_ + p.y * sine_) >> kSineBits, (p.y * cosine_ - p.x * sine_) >> kSineBits}; }

 private:
  int sine_, cosine_;
};

// ---- the shapes, in a frame where kUnit is the radius of the circle around them ----

// By the number of sides that a ray to the right crosses.
bool is_inside(const std::vector<Point>& polygon, const Point& p) {
  bool is_inside = false;
  for (std::size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++) {
    const Point &a = polygon[i], &b = polygon[j];
    if ((a.y > p.y) == (b.y > p.y)) continue;
    const int side = (b.x - a.x) * (p.y - a.y) - (p.x - a.x) * (b.y - a.y);
    if ((side > 0) == (b.y > a.y)) is_inside = !is_inside;
  }
  return is_inside;
}

// `corners` points at equal angles from the top, in turn at `outer` and `inner` from the centre.
std::vector<Point> star(int corners, int outer, int inner) {
  std::vector<Point> polygon;
  for (int corner = 0; corner < corners; ++corner) {
    const int radius = corner % 2 == 0 ? outer : inner;
    const int degrees = 360 * corner / corners;
    polygon.push_back({radius * sine(degrees) / kSine, -radius * cosine(degrees) / kSine});
  }
  return polygon;
}

// (x^2 + y^2 - 1)^3 <= x^2 y^3 with y upwards, in units of 190, moved to the middle.
bool is_in_heart(const Point& p) {
  constexpr std::int64_t kHeart = 190;
  const std::int64_t x = p.x / 4, y = 25 - p.y / 4;
  const std::int64_t beyond = x * x + y * y - kHeart * kHeart;
  return beyond * beyond * beyond <= x * x * y * y * y * kHeart;
}

bool is_in_shape(ShapeClass shape, const Point& p) {
  static const std::vector<Point> triangle = star(3, 1000, 1000);
  static const std::vector<Point> five_points = star(10, 1000, 430);
  static const std::vector<Point> arrow{{0, -960}, {700, -160}, {270, -160}, {270, 900}, {-270, 900}, {-270, -160}, {-700, -160}};
  const int across = std::abs(p.x), along = std::abs(p.y);
  switch (shape) {
    case ShapeClass::circle: return squared(p) <= 860 * 860;
    case ShapeClass::ring: return squared(p) <= 940 * 940 && squared(p) >= 540 * 540;
    case ShapeClass::triangle: return is_inside(triangle, p);
    case ShapeClass::square: return across <= 720 && along <= 720;
    case ShapeClass::star: return is_inside(five_points, p);
    case ShapeClass::cross: return (across <= 290 && along <= 940) || (along <= 290 && across <= 940);
    case ShapeClass::crescent: return squared(p) <= 940 * 940 && squared({p.x - 420, p.y}) >= 760 * 760;
    case ShapeClass::heart: return is_in_heart(p);
    case ShapeClass::arrow: return is_inside(arrow, p);
    case ShapeClass::hourglass: return along <= 780 && 10 * across <= 7 * along + 900;
  }
  return false;
}

// ---- colours ----

// Sums of bytes while samples are added up.
struct Light {
  int red = 0, green = 0, blue = 0;
  void add(const Colour& colour) {
    red += colour.red;
    green += colour.green;
    blue += colour.blue;
  }
};

// From a (0 parts) to b (256 parts).
Colour mix(const Colour& a, const Colour& b, int parts) {
  parts = std::clamp(parts, 0, 256);
  const auto channel = [&](int from, int to) { return static_cast<std::uint8_t>((from * (256 - parts) + to * parts) / 256); };
  return {channel(a.red, b.red), channel(a.green, b.green), channel(a.blue, b.blue)};
}

// Which of the fields of this period a position lies in, counted from 0: 0 or 1 in turn.
int parity(int position, int period) { return static_cast<int>(static_cast<unsigned>((position + 4096 * period) / period) % 2); }

// Random values on a 6x6 grid, smooth between them.
class Clouds {
 public:
  explicit Clouds(const ShapeKey& key) {
    ShapeDraws draws(key, ShapeDraw::clouds);
    for (int& value : values_) value = draws.between(0, 256);
  }

  int at(const Point& p) const {
    constexpr int kCell = kWidth * kPixel / (kGrid - 1) + 1;
    const int column = p.x / kCell, row = p.y / kCell;
    const int right = smooth((p.x % kCell) * 256 / kCell), down = smooth((p.y % kCell) * 256 / kCell);
    const auto value = [&](int r, int c) { return values_[static_cast<std::size_t>(r * kGrid + c)]; };
    const int above = value(row, column) * (256 - right) + value(row, column + 1) * right;
    const int below = value(row + 1, column) * (256 - right) + value(row + 1, column + 1) * right;
    return (above * (256 - down) + below * down) / (256 * 256);
  }

 private:
  static constexpr int kGrid = 6;
  // 3t^2 - 2t^3 for t in 256ths
  static int smooth(int t) { return t * t * (3 * 256 - 2 * t) / (256 * 256); }

  std::array<int, kGrid * kGrid> values_;
};

Colour backdrop_at(const ShapeFactors& f, const Clouds& clouds, const Frame& frame, const Point& p) {
  constexpr int kHalf = kWidth * kPixel / 2;
  const Point turned = frame({p.x - kHalf, p.y - kHalf});
  const auto blend = [&](int parts) { return mix(f.backdrop_colour, f.backdrop_second_colour, parts); };
  switch (f.backdrop) {
    case Backdrop::plain: return f.backdrop_colour;
    case Backdrop::gradient: return blend(128 + turned.x * 128 / (kHalf * 5 / 4));
    case Backdrop::stripes: return blend(256 * parity(turned.x, f.backdrop_period));
    case Backdrop::checks: return blend(256 * (parity(turned.x, f.backdrop_period) ^ parity(turned.y, f.backdrop_period)));
    case Backdrop::clouds: return blend(clouds.at(p));
  }
  return {};
}

// `p` in the shape's own frame.
Colour texture_at(const ShapeFactors& f, const Point& p) {
  const int period = f.texture_period * kUnit / f.radius;
  const auto blend = [&](int parts) { return mix(f.colour, f.second_colour, parts); };
  switch (f.texture) {
    case Texture::plain: return f.colour;
    case Texture::shaded: return blend(128 + p.y * 128 / kUnit);
    case Texture::stripes: return blend(256 * parity(p.x + p.y, period));
    case Texture::checks: return blend(256 * (parity(p.x, period) ^ parity(p.y, period)));
    case Texture::dots: {
      const auto from_centre = [&](int position) { return (position + 4096 * period) % period - period / 2; };
      const Point in_cell{from_centre(p.x), from_centre(p.y)};
      return blend(12 * squared(in_cell) <= period * period ? 256 : 0);
    }
  }
  return {};
}

// `p` seen from the shape's centre, along the occluder's frame.
bool is_behind_occluder(const ShapeFactors& f, const Point& p) {
  const Point from_occluder{p.x - f.occluder_offset, p.y};
  switch (f.occluder) {
    case Occluder::none: return false;
    case Occluder::bar: return std::abs(from_occluder.x) <= f.occluder_size;
    case Occluder::disc: return squared(from_occluder) <= f.occluder_size * f.occluder_size;
  }
  return false;
}

// The sum of two uniform bytes about their mean: mostly small changes, at most `largest`.
std::uint8_t with_noise(int value, std::uint32_t bits, int largest) {
  const int change = (static_cast<int>(bits & 0xff) + static_cast<int>((bits >> 8) & 0xff) - 255) * largest / 255;
  return static_cast<std::uint8_t>(std::clamp(value + change, 0, 255));
}

}  // namespace

int render_shape(const ShapeKey& key, const ShapeFactors& factors, std::uint8_t* pixels) {
  const Clouds clouds(key);
  const Frame backdrop_frame(factors.backdrop_angle), shape_frame(factors.rotation), occluder_frame(factors.occluder_angle);
  ShapeDraws noise(key, ShapeDraw::noise);
  int shape_samples = 0, hidden_samples = 0;
  for (int pixel = 0; pixel < kWidth * kWidth; ++pixel) {
    // Add up the samples of the pixel.
    Light light;
    for (int sample = 0; sample < kSamples * kSamples; ++sample) {
      constexpr int kStep = kPixel / kSamples;
      const Point p{pixel % kWidth * kPixel + sample % kSamples * kStep + kStep / 2, pixel / kWidth * kPixel + sample / kSamples * kStep + kStep / 2};
      const Point from_centre{p.x - factors.x, p.y - factors.y};
      Point in_shape{};
      bool is_shape = squared(from_centre) <= factors.radius * factors.radius;
      if (is_shape) {
        const Point turned = shape_frame(from_centre);
        in_shape = {turned.x * kUnit / factors.radius, turned.y * kUnit / factors.radius};
        is_shape = is_in_shape(factors.shape, in_shape);
      }
      const bool is_hidden = is_behind_occluder(factors, occluder_frame(from_centre));
      shape_samples += is_shape;
      hidden_samples += is_shape && is_hidden;
      if (is_hidden)
        light.add(factors.occluder_colour);
      else if (is_shape)
        light.add(texture_at(factors, in_shape));
      else
        light.add(backdrop_at(factors, clouds, backdrop_frame, p));
    }
    // Average them and add the noise.
    for (const int sum : {light.red, light.green, light.blue}) {
      *pixels++ = with_noise((sum + kSamples * kSamples / 2) / (kSamples * kSamples), noise.word(), factors.noise);
    }
  }
  return shape_samples > 0 ? (100 * hidden_samples + shape_samples / 2) / shape_samples : 0;
}

}  // namespace isda
