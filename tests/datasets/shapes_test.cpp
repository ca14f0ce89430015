// SPDX-License-Identifier: Apache-2.0
// That the pictures show what their factors say, that they are the same everywhere, and that their files are a whole set or none.
#include "datasets/shapes.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "tests/datasets/files.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

constexpr Colour kShapeColour{200, 100, 50}, kSecondColour{250, 150, 100}, kBackdropColour{10, 20, 30}, kOccluderColour{0, 255, 0};

// A plain shape of 14 pixels' radius in the middle of a plain backdrop.
ShapeFactors plain(ShapeClass shape) {
  ShapeFactors f;
  f.shape = shape;
  f.colour = kShapeColour;
  f.second_colour = kSecondColour;
  f.texture_period = 3 * 16;
  f.radius = 14 * 16;
  f.x = f.y = 16 * 16;
  f.backdrop_colour = kBackdropColour;
  f.backdrop_second_colour = {110, 120, 130};
  f.backdrop_period = 4 * 16;
  f.occluder_colour = kOccluderColour;
  return f;
}

class Picture {
 public:
  explicit Picture(const ShapeFactors& factors, const ShapeKey& key = {}) : pixels_(3 * 32 * 32) {
    hidden_percent = render_shape(key, factors, pixels_.data());
  }

  Colour at(int row, int column) const {
    const std::uint8_t* pixel = pixels_.data() + 3 * (32 * row + column);
    return {pixel[0], pixel[1], pixel[2]};
  }
  // The pixel x radii to the right of the shape's centre and y radii below it.
  Colour at_radii(double x, double y) const { return at(static_cast<int>(16 + 14 * y), static_cast<int>(16 + 14 * x)); }
  int count(const Colour& colour) const {
    int result = 0;
    for (int pixel = 0; pixel < 32 * 32; ++pixel) result += at(pixel / 32, pixel % 32) == colour;
    return result;
  }
  bool operator==(const Picture& other) const { return pixels_ == other.pixels_; }

  int hidden_percent;

 private:
  std::vector<std::uint8_t> pixels_;
};

struct Spot {
  double x, y;
};
struct Outline {
  ShapeClass shape;
  std::vector<Spot> inside, outside;
};

TEST(ShapePictures, ShowTheirClass) {
  const std::vector<Outline> outlines{
      {ShapeClass::circle, {{0, 0}, {0.7, 0}, {-0.5, 0.5}, {0, -0.7}}, {{0.75, 0.75}, {-0.75, 0.75}, {-0.95, -0.3}}},
      {ShapeClass::ring, {{0.75, 0}, {0, -0.75}, {-0.5, 0.5}}, {{0, 0}, {0.3, 0.3}, {-0.85, -0.85}}},
      {ShapeClass::triangle, {{0, 0}, {0, -0.7}, {0.65, 0.4}, {-0.65, 0.4}}, {{0.5, -0.5}, {-0.5, -0.5}, {0, 0.7}}},
      {ShapeClass::square, {{0, 0}, {0.6, 0.6}, {-0.6, 0.6}, {-0.6, -0.6}}, {{0.85, 0}, {0, -0.9}}},
      {ShapeClass::star, {{0, 0}, {0, -0.7}, {0.7, -0.25}, {-0.7, -0.25}, {0.4, 0.5}}, {{0, 0.7}, {0.5, -0.75}, {-0.5, -0.75}}},
      {ShapeClass::cross, {{0, 0}, {0.8, 0}, {-0.8, 0}, {0, 0.8}, {0, -0.8}}, {{0.5, 0.5}, {-0.5, 0.5}, {0.5, -0.5}, {-0.5, -0.5}}},
      {ShapeClass::crescent, {{-0.7, 0}, {-0.5, 0.6}, {-0.5, -0.6}}, {{0, 0}, {0.5, 0}, {0.8, 0}}},
      {ShapeClass::heart, {{0, 0}, {0.5, -0.4}, {-0.5, -0.4}, {0, 0.7}}, {{0, -0.75}, {0.7, 0.7}, {-0.7, 0.7}}},
      {ShapeClass::arrow, {{0, 0}, {0, -0.7}, {0, 0.7}, {0.45, -0.25}, {-0.45, -0.25}}, {{0.6, 0.3}, {-0.6, 0.3}, {0.6, -0.7}}},
      {ShapeClass::hourglass, {{0, 0}, {0.45, 0.6}, {-0.45, 0.6}, {0.45, -0.6}, {-0.45, -0.6}}, {{0.6, 0}, {-0.6, 0}}}};
  ASSERT_EQ(outlines.size(), kShapeNames.size());
  for (const Outline& outline : outlines) {
    const Picture picture(plain(outline.shape));
    SCOPED_TRACE(kShapeNames[static_cast<std::size_t>(outline.shape)]);
    for (const auto& [x, y] : outline.inside) EXPECT_EQ(picture.at_radii(x, y), kShapeColour) << x << " " << y;
    for (const auto& [x, y] : outline.outside) EXPECT_EQ(picture.at_radii(x, y), kBackdropColour) << x << " " << y;
    EXPECT_EQ(picture.at(0, 0), kBackdropColour);
    EXPECT_EQ(picture.hidden_percent, 0);
    // Every class has a fair share of the picture, and soft edges.
    EXPECT_GE(picture.count(kShapeColour), 100);
    EXPECT_GE(picture.count(kBackdropColour), 300);
    EXPECT_GE(1024 - picture.count(kShapeColour) - picture.count(kBackdropColour), 20);
  }
}

TEST(ShapePictures, TurnClockwise) {
  ShapeFactors f = plain(ShapeClass::arrow);
  f.rotation = 90;
  const Picture right(f);
  EXPECT_EQ(right.at_radii(0.25, 0.45), kShapeColour);    // the head, now to the right
  EXPECT_EQ(right.at_radii(-0.3, 0.6), kBackdropColour);  // beside the shaft
  f.rotation = -90;
  EXPECT_EQ(Picture(f).at_radii(-0.25, 0.45), kShapeColour);
  f.rotation = 450;
  EXPECT_EQ(Picture(f), right);
}

TEST(ShapePictures, HaveTheSizeAndPlaceOfTheirFactors) {
  ShapeFactors f = plain(ShapeClass::square);  // its sides are 0.70 radii from the centre
  f.radius = 10 * 16;
  f.x = 12 * 16;
  f.y = 20 * 16;
  const Picture picture(f);
  EXPECT_EQ(picture.count(kShapeColour), 14 * 14);  // pixels wholly within 7.03 of (12,20)
  for (const auto& [row, column] : {std::pair{13, 5}, {26, 18}}) EXPECT_EQ(picture.at(row, column), kShapeColour);
  for (const auto& [row, column] : {std::pair{13, 3}, {28, 18}}) EXPECT_EQ(picture.at(row, column), kBackdropColour);
}

TEST(ShapePictures, AreHiddenByTheirOccluder) {
  ShapeFactors f = plain(ShapeClass::circle);
  f.occluder = Occluder::bar;
  f.occluder_angle = 90;  // the bar lies across, its centre line 3 pixels below the centre
  f.occluder_offset = 3 * 16;
  f.occluder_size = 2 * 16;
  const Picture bar(f);
  EXPECT_EQ(bar.count(kOccluderColour), 4 * 32);
  EXPECT_EQ(bar.at(18, 0), kOccluderColour);
  EXPECT_EQ(bar.at(16, 16), kShapeColour);
  EXPECT_EQ(bar.hidden_percent, 21);  // a strip of 90 pixels of a circle of 434

  f.occluder = Occluder::disc;
  f.occluder_size = 30 * 16;
  EXPECT_EQ(Picture(f).hidden_percent, 100);
  f.occluder_size = 5 * 16;
  f.occluder_offset = 0;
  const Picture disc(f);
  EXPECT_EQ(disc.at(16, 16), kOccluderColour);
  EXPECT_EQ(disc.hidden_percent, 18);  // 25 / 11.76^2

  f.occluder = Occluder::none;
  EXPECT_EQ(Picture(f).count(kOccluderColour), 0);
}

TEST(ShapePictures, HaveNoiseWithinItsBounds) {
  ShapeFactors f = plain(ShapeClass::circle);
  const Picture clean(f);
  f.noise = 12;
  const Picture noisy(f);
  int changed = 0, largest = 0;
  double sum = 0;
  for (int pixel = 0; pixel < 1024; ++pixel) {
    const int change = noisy.at(pixel / 32, pixel % 32).blue - clean.at(pixel / 32, pixel % 32).blue;
    changed += change != 0;
    largest = std::max(largest, std::abs(change));
    sum += change;
  }
  EXPECT_GT(changed, 700);
  EXPECT_LE(largest, 12);
  EXPECT_GE(largest, 9);
  EXPECT_LT(std::abs(sum / 1024), 1);
  EXPECT_FALSE(noisy == Picture(f, {.seed = 1, .is_test = false, .index = 0}));
  EXPECT_FALSE(noisy == Picture(f, {.seed = 0, .is_test = true, .index = 0}));
  EXPECT_FALSE(noisy == Picture(f, {.seed = 0, .is_test = false, .index = 1}));
}

TEST(ShapePictures, HaveTheBackdropOfTheirFactors) {
  ShapeFactors f = plain(ShapeClass::circle);
  f.radius = 16;  // a dot
  const Colour second = f.backdrop_second_colour;
  f.backdrop = Backdrop::gradient;
  const Picture gradient(f);
  for (int column = 1; column < 32; ++column) EXPECT_GE(gradient.at(3, column).red, gradient.at(3, column - 1).red);
  EXPECT_GE(gradient.at(3, 31).red, gradient.at(3, 0).red + 60);
  EXPECT_EQ(gradient.at(3, 5), gradient.at(29, 5));

  f.backdrop = Backdrop::stripes;
  const Picture stripes(f);
  for (int row : {0, 30}) {
    for (int column = 0; column < 32; ++column) EXPECT_EQ(stripes.at(row, column), column / 4 % 2 == 0 ? kBackdropColour : second);
  }
  f.backdrop_angle = 90;
  EXPECT_EQ(Picture(f).at(0, 0), Picture(f).at(0, 31));
  EXPECT_FALSE(Picture(f).at(0, 0) == Picture(f).at(5, 0));

  f.backdrop = Backdrop::checks;
  f.backdrop_angle = 0;
  const Picture checks(f);
  for (int row : {0, 6}) {
    for (int column = 0; column < 32; ++column) EXPECT_EQ(checks.at(row, column), (row / 4 + column / 4) % 2 == 0 ? kBackdropColour : second);
  }

  f.backdrop = Backdrop::clouds;
  const Picture clouds(f);
  std::set<int> reds;
  for (int column = 0; column < 32; ++column) {
    reds.insert(clouds.at(0, column).red);
    EXPECT_TRUE(clouds.at(0, column).red >= kBackdropColour.red && clouds.at(0, column).red <= second.red);
    EXPECT_LE(std::abs(clouds.at(0, column).red - clouds.at(0, std::max(column - 1, 0)).red), 30);
  }
  EXPECT_GT(reds.size(), 8u);
  EXPECT_FALSE(clouds == Picture(f, {.seed = 0, .is_test = false, .index = 1}));
}

TEST(ShapePictures, HaveTheTextureOfTheirFactors) {
  ShapeFactors f = plain(ShapeClass::square);
  f.texture = Texture::shaded;
  const Picture shaded(f);
  EXPECT_LT(shaded.at(8, 16).red, shaded.at(16, 16).red);
  EXPECT_LT(shaded.at(16, 16).red, shaded.at(24, 16).red);
  for (const Texture texture : {Texture::stripes, Texture::dots, Texture::checks}) {
    f.texture = texture;
    const Picture picture(f);
    EXPECT_GE(picture.count(kShapeColour), 30) << static_cast<int>(texture);
    EXPECT_GE(picture.count(kSecondColour), 10) << static_cast<int>(texture);
  }
  f.texture = Texture::plain;
  EXPECT_EQ(Picture(f).count(kSecondColour), 0);
}

TEST(ShapeFactors, CoverTheirRanges) {
  std::set<int> backdrops, textures, occluders, rotations;
  for (std::int64_t index = 0; index < 3000; ++index) {
    const ShapeFactors f = draw_factors({.seed = 3, .is_test = false, .index = index});
    backdrops.insert(static_cast<int>(f.backdrop));
    textures.insert(static_cast<int>(f.texture));
    occluders.insert(static_cast<int>(f.occluder));
    rotations.insert(f.rotation);
    for (const Colour& behind : {f.backdrop_colour, f.backdrop_second_colour}) {
      ASSERT_GE(std::abs(f.colour.red - behind.red) + std::abs(f.colour.green - behind.green) + std::abs(f.colour.blue - behind.blue), 230);
    }
    ASSERT_TRUE(f.radius >= 160 && f.radius <= 224);
    for (const int centre : {f.x, f.y}) ASSERT_TRUE(centre - f.radius >= -16 && centre + f.radius <= 33 * 16) << index;
    ASSERT_TRUE(f.noise >= 0 && f.noise <= 24);
  }
  EXPECT_EQ(backdrops.size(), kBackdropNames.size());
  EXPECT_EQ(textures.size(), kTextureNames.size());
  EXPECT_EQ(occluders.size(), kOccluderNames.size());
  EXPECT_EQ(rotations.size(), 37u);
  EXPECT_EQ(*rotations.begin(), -18);
}

// ---- the files ----

const std::vector<std::string> kFiles{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                      "data_batch_5.bin", "test_batch.bin",   "batches.meta.txt", "factors.csv"};

std::string all_bytes(const fs::path& directory) {
  std::string bytes;
  for (const std::string& name : kFiles) bytes += read_text(directory / name);
  return bytes;
}

// FNV-1a, 64 bits.
std::uint64_t checksum(const std::string& bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : bytes) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3u;
  return hash;
}

void make(const fs::path& directory, std::int64_t train, std::int64_t test, std::uint64_t seed, int threads = 2) {
  make_shapes(Context(Device::cpu, threads), {.directory = directory, .train = train, .test = test, .seed = seed});
}

TEST(MakeShapes, GivesTheSameBytesEverywhere) {
  const TemporaryFolder one, three, other;
  make(one.path(), 203, 41, 7, 1);
  make(three.path(), 203, 41, 7, 3);
  make(other.path(), 203, 41, 8, 1);
  const std::string bytes = all_bytes(one.path());
  EXPECT_EQ(bytes, all_bytes(three.path()));
  EXPECT_NE(bytes, all_bytes(other.path()));
  // NOTE: the value holds on every processor, with every compiler and its options. It changes only with what is drawn.
  EXPECT_EQ(checksum(bytes), 0xc24de6b3e0f6db4bu) << fmt::format("{:#x}", checksum(bytes));
  make(one.path(), 203, 41, 7);
  EXPECT_EQ(bytes, all_bytes(one.path()));
}

TEST(MakeShapes, IsReadBack) {
  const TemporaryFolder folder;
  make(folder.path(), 203, 41, 7);
  const Dataset dataset = load_dataset("shapes", folder.path());
  EXPECT_EQ(dataset.name, "shapes");
  EXPECT_EQ(dataset.class_names, std::vector<std::string>(kShapeNames.begin(), kShapeNames.end()));
  ASSERT_EQ(dataset.train.size(), 203);
  ASSERT_EQ(dataset.test.size(), 41);
  for (const bool is_test : {false, true}) {
    const Split& split = is_test ? dataset.test : dataset.train;
    for (std::int64_t index = 0; index < split.size(); ++index) {
      const ShapeKey key{.seed = 7, .is_test = is_test, .index = index};
      const ShapeFactors factors = draw_factors(key);
      ASSERT_EQ(split.labels[static_cast<std::size_t>(index)], static_cast<int>(factors.shape));
      std::vector<std::uint8_t> pixels(3072);
      render_shape(key, factors, pixels.data());
      ASSERT_TRUE(std::equal(pixels.begin(), pixels.end(), split.pixels.begin() + index * 3072)) << index;
    }
  }
  const auto statistics = mean_and_deviation(dataset.train);
  EXPECT_EQ(dataset.mean, statistics.mean);
  EXPECT_EQ(dataset.deviation, statistics.deviation);
  fs::create_directory(folder.path() / "shapes");
  for (const std::string& name : kFiles) fs::rename(folder.path() / name, folder.path() / "shapes" / name);
  EXPECT_EQ(load_shapes(folder.path()).train.pixels, dataset.train.pixels);
}

TEST(MakeShapes, BeginsALargerSetWithASmallerOne) {
  const TemporaryFolder small, large;
  make(small.path(), 30, 10, 7);
  make(large.path(), 60, 20, 7);
  const Dataset a = load_shapes(small.path()), b = load_shapes(large.path());
  EXPECT_TRUE(std::equal(a.train.pixels.begin(), a.train.pixels.end(), b.train.pixels.begin()));
  EXPECT_TRUE(std::equal(a.test.pixels.begin(), a.test.pixels.end(), b.test.pixels.begin()));
  EXPECT_FALSE(std::equal(a.test.pixels.begin(), a.test.pixels.end(), b.train.pixels.begin()));
  EXPECT_EQ(class_counts(b.train, 10), std::vector<std::int64_t>(10, 6));
  EXPECT_EQ(class_counts(a.test, 10), std::vector<std::int64_t>(10, 1));
  // The order of the classes is not the same in every ten.
  EXPECT_FALSE(std::equal(b.train.labels.begin(), b.train.labels.begin() + 10, b.train.labels.begin() + 10));
}

TEST(MakeShapes, RecordsTheFactorsOfEveryImage) {
  const TemporaryFolder folder;
  make(folder.path(), 12, 3, 7);
  std::istringstream rows(read_text(folder.path() / "factors.csv"));
  std::string line;
  const auto columns = [](const std::string& text) {
    std::vector<std::string> list;
    std::istringstream stream(text);
    for (std::string column; std::getline(stream, column, ',');) list.push_back(column);
    return list;
  };
  std::getline(rows, line);
  const auto header = columns(line);
  const std::vector<std::string> files{"data_batch_1.bin", "data_batch_1.bin", "data_batch_2.bin", "data_batch_2.bin", "data_batch_3.bin",
                                       "data_batch_3.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_4.bin", "data_batch_5.bin",
                                       "data_batch_5.bin", "data_batch_5.bin", "test_batch.bin",   "test_batch.bin",   "test_batch.bin"};
  const std::vector<int> records{0, 1, 0, 1, 0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2};
  for (std::size_t row = 0; row < files.size(); ++row) {
    ASSERT_TRUE(std::getline(rows, line));
    const auto values = columns(line);
    ASSERT_EQ(values.size(), header.size());
    const auto value = [&](const std::string& name) {
      return values.at(static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin()));
    };
    const bool is_test = row >= 12;
    const ShapeKey key{.seed = 7, .is_test = is_test, .index = static_cast<std::int64_t>(is_test ? row - 12 : row)};
    const ShapeFactors f = draw_factors(key);
    EXPECT_EQ(value("file"), files[row]);
    EXPECT_EQ(value("record"), std::to_string(records[row]));
    EXPECT_EQ(value("label"), std::to_string(static_cast<int>(f.shape)));
    EXPECT_EQ(value("class"), kShapeNames[static_cast<std::size_t>(f.shape)]);
    EXPECT_EQ(value("colour"), fmt::format("#{:02x}{:02x}{:02x}", f.colour.red, f.colour.green, f.colour.blue));
    EXPECT_EQ(value("texture"), kTextureNames[static_cast<std::size_t>(f.texture)]);
    EXPECT_EQ(value("backdrop"), kBackdropNames[static_cast<std::size_t>(f.backdrop)]);
    EXPECT_EQ(value("occluder"), kOccluderNames[static_cast<std::size_t>(f.occluder)]);
    EXPECT_EQ(std::stod(value("radius")) * 16, f.radius);
    EXPECT_EQ(std::stod(value("x")) * 16, f.x);
    EXPECT_EQ(std::stod(value("y")) * 16, f.y);
    EXPECT_EQ(std::stoi(value("rotation")), f.rotation);
    EXPECT_EQ(std::stoi(value("noise")), f.noise);
    EXPECT_EQ(std::stod(value("occluder_size")) * 16, f.occluder_size);
    EXPECT_EQ(std::stoi(value("hidden_percent")), Picture(f, key).hidden_percent);
    EXPECT_EQ(fs::file_size(folder.path() / files[row]) % 3073, 0u);
  }
  EXPECT_FALSE(std::getline(rows, line));
}

TEST(MakeShapes, LeavesOtherDataAlone) {
  const TemporaryFolder folder;
  write_text(folder.path() / "data_batch_1.bin", "precious");
  EXPECT_PRED2(contains, message_of([&] { make(folder.path(), 10, 10, 7); }), "holds data_batch_1.bin but no factors.csv");
  EXPECT_EQ(read_text(folder.path() / "data_batch_1.bin"), "precious");
  write_text(folder.path() / "file", "");
  EXPECT_PRED2(contains, message_of([&] { make(folder.path() / "file", 10, 10, 7); }), "[shapes] the directory " + (folder.path() / "file").string());
  EXPECT_PRED2(contains, message_of([&] { make(folder.path() / "new", 4, 10, 7); }), "[shapes] 4 training images, expected at least 5");
  EXPECT_PRED2(contains, message_of([&] { make(folder.path() / "new", 10, 0, 7); }), "[shapes] 0 test images, expected at least 1");
  EXPECT_FALSE(fs::exists(folder.path() / "new"));
}

TEST(MakeShapes, CannotBeTakenForWholeWhenInterrupted) {
  const TemporaryFolder folder;
  make(folder.path(), 10, 10, 7);
  // A directory in the place of a batch stops the second run half-way.
  fs::remove(folder.path() / "data_batch_4.bin");
  fs::create_directory(folder.path() / "data_batch_4.bin");
  EXPECT_NE(message_of([&] { make(folder.path(), 20, 10, 8); }), "");
  EXPECT_PRED2(contains, message_of([&] { load_shapes(folder.path()); }), "batches.meta.txt cannot be opened");
}

TEST(LoadShapes, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const auto error = [&] { return message_of([&] { load_dataset("shapes", folder.path()); }); };
  EXPECT_PRED2(contains, error(), "[shapes] " + folder.path().string() + " holds neither data_batch_1.bin nor shapes/data_batch_1.bin");
  EXPECT_PRED2(contains, error(), "make the data set with `isda data make-shapes");
  EXPECT_PRED2(contains, message_of([&] { load_shapes(folder.path() / "nowhere"); }), "there is no directory");
  make(folder.path(), 10, 10, 7);
  EXPECT_EQ(error(), "");
  EXPECT_PRED2(contains, message_of([&] { load_dataset("cifar10", folder.path()); }), "perhaps --dataset shapes?");

  fs::resize_file(folder.path() / "data_batch_2.bin", 2 * 3073 - 1);
  EXPECT_PRED2(contains, error(), "data_batch_2.bin has 6145 bytes, expected a whole number of records of 3073 bytes, at least one");
  fs::resize_file(folder.path() / "data_batch_2.bin", 0);
  EXPECT_PRED2(contains, error(), "data_batch_2.bin has 0 bytes");
  fs::remove(folder.path() / "data_batch_2.bin");
  EXPECT_PRED2(contains, error(), "data_batch_2.bin: No such file or directory");
  make(folder.path(), 10, 10, 7);
  write_text(folder.path() / "batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n");
  EXPECT_PRED2(contains, error(), "perhaps --dataset cifar10?");
}

}  // namespace
}  // namespace isda
