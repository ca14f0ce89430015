// SPDX-License-Identifier: Apache-2.0
// JPEG files as Pillow decodes them, parts of them as the whole, boxes as Pillow resizes them (tests/golden/make_images.py), and files that are broken.
#include "datasets/image_files.h"

#include <cmath>
#include <cstring>

#include "core/safetensors.h"
#include "kernels/resized_crop/resized_crop.h"
#include "tests/datasets/files.h"
#include "tests/datasets/jpeg_files.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

const Safetensors& golden() {
  static const Safetensors file = Safetensors::open(fs::path(ISDA_SOURCE_DIR) / "tests/golden/images.safetensors");
  return file;
}

std::vector<std::uint8_t> bytes_of(const ConstView& view) { return {view.as<std::uint8_t>(), view.as<std::uint8_t>() + view.size()}; }

class ImageFile : public testing::Test {
 public:
  void write(const std::string& content) const { write_text(file, content); }
  void write_golden(const std::string& name) const {
    const auto bytes = bytes_of(golden().view(name + ".jpg"));
    write({bytes.begin(), bytes.end()});
  }
  DecodedPart whole() {
    decoder.open(file);
    const auto height = decoder.height(), width = decoder.width();
    return decoder.decode({0, 0, static_cast<double>(width), static_cast<double>(height)}, height, width);
  }
  std::vector<std::uint8_t> resized(const DecodedPart& part, std::int64_t height, std::int64_t width) const {
    const float box[4] = {static_cast<float>(part.box.left), static_cast<float>(part.box.top), static_cast<float>(part.box.right),
                          static_cast<float>(part.box.bottom)};
    const std::int32_t flip = 0;
    std::vector<std::uint8_t> y(static_cast<std::size_t>(height * width * 3));
    run(Context(Device::cpu, 1), kernels::ResizedCrop{.x = part.pixels,
                                                      .boxes = ConstView(box, DType::f32, {1, 4}),
                                                      .flips = ConstView(&flip, DType::i32, {1}),
                                                      .y = View(y.data(), DType::u8, {1, height, width, 3})});
    return y;
  }
  std::string error() {
    return message_of([&] { whole(); });
  }

  const TemporaryFolder folder;
  const fs::path file = folder.path() / "some.jpg";
  JpegDecoder decoder;
};

TEST_F(ImageFile, IsDecodedAsPillowDoes) {
  for (const char* name : {"baseline", "sharp", "wide", "progressive", "gray", "cmyk"}) {
    write_golden(name);
    const ConstView expected = golden().view(std::string(name) + ".rgb");
    const DecodedPart part = whole();
    EXPECT_EQ(part.pixels.shape(), (Shape{1, expected.extent(0), expected.extent(1), 3})) << name;
    EXPECT_EQ(bytes_of(part.pixels), bytes_of(expected)) << name;
  }
}

TEST_F(ImageFile, ABoxIsResizedAsPillowDoes) {
  const ConstView picture = golden().view("picture"), boxes = golden().view("boxes");
  for (std::int64_t k = 0; k < boxes.extent(0); ++k) {
    const ConstView expected = golden().view(fmt::format("resized_{}", k));
    const std::int32_t flip = 0;
    for (const Device device : {Device::reference, Device::cpu}) {
      std::vector<std::uint8_t> y(static_cast<std::size_t>(expected.size()), 77);
      run(Context(device, 1), kernels::ResizedCrop{.x = ConstView(picture.data(), DType::u8, {1, picture.extent(0), picture.extent(1), 3}),
                                                   .boxes = ConstView(boxes.as<float>() + 4 * k, DType::f32, {1, 4}),
                                                   .flips = ConstView(&flip, DType::i32, {1}),
                                                   .y = View(y.data(), DType::u8, {1, expected.extent(0), expected.extent(1), 3})});
      EXPECT_EQ(y, bytes_of(expected)) << k << " " << name_of(device);
    }
  }
}

// Resize, then CenterCrop, are one box; where torchvision rounds in between, a byte may differ by one.
TEST_F(ImageFile, IsCentredAsTorchvisionDoes) {
  write_golden("baseline");
  const ConstView expected = golden().view("centred");
  std::vector<std::uint8_t> y(24 * 24 * 3);
  load_image(Context(Device::cpu, 1), decoder, file, 30, nullptr, View(y.data(), DType::u8, {1, 24, 24, 3}));
  int different = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const int difference = std::abs(y[i] - expected.as<std::uint8_t>()[i]);
    ASSERT_LE(difference, 1) << i;
    different += difference;
  }
  EXPECT_LT(different, 20);
}

TEST_F(ImageFile, APartIsDecodedAsTheWholeIs) {
  const std::vector<JpegOptions> kinds{{}, {.across = 1, .down = 1}, {.across = 2, .down = 1}, {.across = 1, .down = 2}, {.is_progressive = true}};
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    for (const std::int64_t channels : {3, 1, 4}) {
      if (channels != 3 && kind > 0) continue;
      write(jpeg_of(noise(163, 211, channels, kind), kinds[kind]));
      const DecodedPart all = whole();
      const auto pixels = bytes_of(all.pixels);
      for (std::int32_t index = 0; index < 24; ++index) {
        const auto crop = kernels::draw_crop_box(5, 0, index, 163, 211);
        // Where a block of 16 begins and ends, too, and one pixel beside.
        const std::int64_t shift = index < 12 ? 0 : crop.left - std::min(crop.left / 16 * 16 + index % 3, crop.left);
        const PixelBox box{static_cast<double>(crop.left - shift), static_cast<double>(crop.top), static_cast<double>(crop.left + crop.width - shift),
                           static_cast<double>(crop.top + crop.height)};
        const std::int64_t height = index % 2 ? crop.height * 2 : crop.height * 6 / 10 + 1, width = index % 4 < 2 ? crop.width * 2 : crop.width * 6 / 10 + 1;
        const auto expected = resized({ConstView(pixels.data(), DType::u8, all.pixels.shape()), box}, height, width);
        decoder.open(file);
        const DecodedPart part = decoder.decode(box, height, width);
        EXPECT_EQ(resized(part, height, width), expected) << kind << " " << channels << " " << index;
        // And not more than it must: the filter's reach, a block of 16 and the margin at each side.
        EXPECT_LE(part.pixels.extent(1), crop.height + 4);
        EXPECT_LE(part.pixels.extent(2), crop.width + 4 + 2 + 32);
      }
    }
  }
}

TEST_F(ImageFile, ADrawnBoxIsMirroredOrNot) {
  write(jpeg_of(waves(90, 110, 3, 1)));
  int flips = 0;
  for (std::int32_t index = 0; index < 8; ++index) {
    const ImageDraw draw{.seed = 3, .epoch = 2, .index = index};
    std::vector<std::uint8_t> y(20 * 30 * 3);
    load_image(Context(Device::cpu, 1), decoder, file, 0, &draw, View(y.data(), DType::u8, {1, 20, 30, 3}));
    const auto crop = kernels::draw_crop_box(3, 2, index, 90, 110);
    decoder.open(file);
    const auto expected = resized(decoder.decode({static_cast<double>(crop.left), static_cast<double>(crop.top), static_cast<double>(crop.left + crop.width),
                                                  static_cast<double>(crop.top + crop.height)},
                                                 20, 30),
                                  20, 30);
    for (std::size_t pixel = 0; pixel < 600; ++pixel) {
      const std::size_t from = crop.is_flipped ? pixel / 30 * 30 + 29 - pixel % 30 : pixel;
      ASSERT_TRUE(std::equal(y.begin() + static_cast<std::ptrdiff_t>(3 * pixel), y.begin() + static_cast<std::ptrdiff_t>(3 * pixel + 3),
                             expected.begin() + static_cast<std::ptrdiff_t>(3 * from)))
          << index << " " << pixel;
    }
    flips += crop.is_flipped;
  }
  EXPECT_TRUE(flips > 0 && flips < 8);
}

TEST_F(ImageFile, ALargePartIsDecodedSmaller) {
  write(jpeg_of(waves(640, 800, 3, 1), {.quality = 95}));
  const DecodedPart all = whole();
  const auto pixels = bytes_of(all.pixels);
  const PixelBox box{16, 32, 784, 608};
  for (const auto& [height, width, scale] : {std::tuple{72, 96, 8}, {73, 96, 4}, {144, 192, 4}, {200, 300, 2}, {288, 384, 2}, {289, 384, 1}}) {
    const auto expected = resized({ConstView(pixels.data(), DType::u8, all.pixels.shape()), box}, height, width);
    decoder.open(file);
    const DecodedPart part = decoder.decode(box, height, width);
    EXPECT_NEAR(part.box.right - part.box.left, 768.0 / scale, 1e-9);
    EXPECT_LE(part.pixels.extent(1), 640 / scale);
    EXPECT_LE(part.pixels.extent(2), 800 / scale);
    const auto actual = resized(part, height, width);
    double sum = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) sum += std::abs(actual[i] - expected[i]);
    EXPECT_LT(sum / static_cast<double>(actual.size()), 2) << height;
  }
}

TEST_F(ImageFile, InkIsInvertedAndBecomesRgb) {
  // Stored inverted: 255 is no ink. Smooth, so that the file holds it nearly exactly.
  Picture ink{32, 32, 4, {}};
  for (int i = 0; i < 32 * 32; ++i)
    ink.bytes.insert(ink.bytes.end(), {static_cast<std::uint8_t>(40 + 4 * (i / 32)), 200, 90, static_cast<std::uint8_t>(250 - 3 * (i / 32))});
  for (const J_COLOR_SPACE stored : {JCS_CMYK, JCS_YCCK}) {
    write(jpeg_of(ink, {.quality = 100, .stored = stored}));
    const DecodedPart part = whole();
    ASSERT_EQ(part.pixels.shape(), (Shape{1, 32, 32, 3}));
    for (std::int64_t i = 0; i < 32 * 32; ++i) {
      for (std::int64_t c = 0; c < 3; ++c) {
        const double expected = ink.bytes[static_cast<std::size_t>(4 * i + c)] * ink.bytes[static_cast<std::size_t>(4 * i + 3)] / 255.0;
        ASSERT_NEAR(part.pixels.as<std::uint8_t>()[3 * i + c], expected, 3) << i << " " << c;
      }
    }
  }
}

TEST_F(ImageFile, BrokenIsAnErrorThatNamesIt) {
  EXPECT_EQ(error(), "[" + file.string() + "] cannot be opened: No such file or directory");
  const auto is_corrupt = [&](const std::string& content, const std::string& why) {
    write(content);
    EXPECT_THROW(whole(), CorruptImage);
    EXPECT_PRED2(contains, error(), "[" + file.string() + "] is ");
    EXPECT_PRED2(contains, error(), why);
  };
  is_corrupt("", "it is empty");
  is_corrupt("GIF89a, and so on", "Not a JPEG file: starts with 0x47 0x49");
  is_corrupt(std::string("\x89PNG\r\n\x1a\n") + std::string(100, 'x'), "is a PNG image, expected a JPEG: convert it");
  const std::string sound = jpeg_of(waves(60, 70, 3, 2));
  is_corrupt(sound.substr(0, 100), "is no whole JPEG");
  for (const std::size_t bytes : {sound.size() * 3 / 4, sound.size() - 100, sound.size() - 2, sound.size() - 1}) {
    is_corrupt(sound.substr(0, bytes), fmt::format("it is truncated, after {} bytes", bytes));
  }
  is_corrupt(sound.substr(0, sound.size() * 3 / 4) + "\xff\xd9", "premature end of data segment");
  // What tools leave behind the end is nobody's business; and the decoder goes on after all this.
  write(sound + std::string(300, '\0'));
  EXPECT_EQ(error(), "");
}

// Truncated below what is asked for: found all the same.
TEST_F(ImageFile, TruncatedIsFoundWhateverPartIsAskedFor) {
  const std::string sound = jpeg_of(waves(160, 170, 3, 2));
  write(sound.substr(0, sound.size() - 50));
  EXPECT_THROW(decoder.open(file), CorruptImage);
}

TEST_F(ImageFile, DamagedBytesAreDecodedOrRefused) {
  const std::string sound = jpeg_of(waves(60, 70, 3, 2));
  int refused = 0;
  for (std::uint64_t trial = 0; trial < 300; ++trial) {
    std::string damaged = sound;
    const auto words = philox(8, RandomStream::test, trial, 0);
    for (std::size_t k = 0; k < 3; ++k) damaged[uniform_below(words[k], static_cast<std::uint32_t>(damaged.size()))] = static_cast<char>(words[3] >> (8 * k));
    write(damaged);
    try {
      decoder.open(file);
      const auto height = decoder.height(), width = decoder.width();
      if (height * width > 1 << 22) continue;
      decoder.decode({0, 0, static_cast<double>(width), static_cast<double>(height)}, 20, 20);
    } catch (const CorruptImage&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 20);
  EXPECT_LT(refused, 300);
}

TEST(CentreBox, IsTheMiddleOfTheResizedImage) {
  // 500x375 becomes 341x256, of which columns 58 to 282 and rows 16 to 240 are taken.
  const PixelBox box = centre_box(375, 500, 256, 224, 224);
  EXPECT_NEAR(box.left, 58 * 500.0 / 341, 1e-9);
  EXPECT_NEAR(box.top, 16 * 375.0 / 256, 1e-9);
  EXPECT_NEAR(box.right - box.left, 224 * 500.0 / 341, 1e-9);
  EXPECT_NEAR(box.bottom - box.top, 224 * 375.0 / 256, 1e-9);
  // Halves go to the even number.
  EXPECT_EQ(centre_box(259, 259, 259, 224, 224).left, 18);
  EXPECT_EQ(centre_box(257, 257, 257, 224, 224).top, 16);
  const PixelBox square = centre_box(10, 10, 10, 10, 10);
  EXPECT_EQ(square.right, 10);
  EXPECT_EQ(square.top, 0);
}

TEST(ImageFiles, NamesAreInOrder) {
  ImageFiles files("root");
  for (const char* name : {"a/x.jpg", "a/yy.jpg", "b/"}) files.add(name);
  EXPECT_EQ(files.size(), 3);
  EXPECT_EQ(files.name(0), "a/x.jpg");
  EXPECT_EQ(files.name(2), "b/");
  EXPECT_EQ(files.path(1), fs::path("root/a/yy.jpg"));
}

}  // namespace
}  // namespace isda
