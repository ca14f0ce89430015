// SPDX-License-Identifier: Apache-2.0
// What a loader makes of a folder of JPEG files, in images a second, beside libjpeg-turbo's own decoding of the same files, whole, in as many threads; and
// whether its memory stays what it is over epochs.
//
//   isda_bench_images [--folder DIR] [--images N] [--threads T] [--rounds R] [--size S]
//
// Without a folder one is made: pictures of 500x375 of waves and noise, quality 90, 4:2:0, a hundred kilobytes each as ImageNet's are. Both sides are timed in
// turn, and the best of each counts, by the clock and by the time of processors, since others may be at work on the machine. Both read their files, which the
// system has in its caches after the first round.
#include <time.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <limits>
#include <string>
#include <thread>

#include "core/atomic_file.h"
#include "datasets/image_files.h"
#include "datasets/loader.h"
#include "kernels/common/philox.h"
#include "tests/datasets/jpeg_files.h"

namespace isda {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string folder;
  std::int64_t images = 400, rounds = 5, size = 224;
  int threads = 2;
};

Picture noisy_waves(std::int64_t height, std::int64_t width, int seed) {
  Picture picture = waves(height, width, 3, seed);
  for (std::size_t i = 0; i < picture.bytes.size(); i += 4) {
    const auto words = philox(static_cast<std::uint64_t>(seed), RandomStream::test, 0, i / 4);
    for (std::size_t k = 0; k < 4 && i + k < picture.bytes.size(); ++k) {
      const int value = picture.bytes[i + k] + static_cast<int>(uniform_below(words[k], 45)) - 22;
      picture.bytes[i + k] = static_cast<std::uint8_t>(std::clamp(value, 0, 255));
    }
  }
  return picture;
}

void make_files(const fs::path& folder, std::int64_t images) {
  for (int i = 0; i < images; ++i) {
    const fs::path path = folder / fmt::format("class_{}", i % 10) / fmt::format("{}.JPEG", i);
    fs::create_directories(path.parent_path());
    write_atomically(path, jpeg_of(i % 4 == 3 ? noisy_waves(500, 375, i) : noisy_waves(375, 500, i)));
  }
}

Split split_of(const fs::path& folder, std::int64_t size) {
  Split split{.height = size, .width = size, .resize_side = size * 8 / 7};
  auto files = std::make_shared<ImageFiles>(folder);
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), folder).string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) files->add(name);
  split.labels.assign(names.size(), 0);
  split.files = std::move(files);
  return split;
}

// The best time so far, by the clock, and of all processors together, which other work on the machine does not count in.
struct Best {
  double seconds = std::numeric_limits<double>::infinity(), processor_seconds = seconds;

  template <class Body>
  void time(const Body& body) {
    const auto processor_now = [] {
      timespec now{};
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
      return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
    };
    const auto begin = Clock::now();
    const double processor_begin = processor_now();
    body();
    processor_seconds = std::min(processor_seconds, processor_now() - processor_begin);
    seconds = std::min(seconds, std::chrono::duration<double>(Clock::now() - begin).count());
  }
};

void decode_whole(const Split& split, int threads) {
  std::vector<std::thread> all;
  for (int thread = 0; thread < threads; ++thread) {
    all.emplace_back([&, thread] {
      JpegDecoder decoder;
      for (std::int64_t i = thread; i < split.size(); i += threads) {
        decoder.open(split.files->path(i));
        decoder.decode({0, 0, static_cast<double>(decoder.width()), static_cast<double>(decoder.height())}, decoder.height(), decoder.width());
      }
    });
  }
  for (std::thread& thread : all) thread.join();
}

void load_epoch(Loader& loader, std::int32_t epoch) {
  loader.start(epoch);
  while (loader.next()) continue;
}

double resident_megabytes() {
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) * 1e-6;
}

int measure(const Options& options) {
  fs::path folder = options.folder;
  const bool is_made = options.folder.empty();
  if (is_made) {
    folder = fs::temp_directory_path() / fmt::format("isda_bench_images_{}", getpid());
    make_files(folder, options.images);
  }
  const Split split = split_of(folder, options.size);
  std::uintmax_t bytes = 0;
  for (std::int64_t i = 0; i < split.size(); ++i) bytes += fs::file_size(split.files->path(i));
  fmt::print("{} files of {} kB, {} threads\n", split.size(), bytes / 1000 / static_cast<std::uintmax_t>(split.size()), options.threads);

  const std::vector<double> mean(3, 120), deviation(3, 60);
  const LoaderOptions training{.batch_size = 32, .seed = 1, .workers = options.threads};
  LoaderOptions evaluation = training;
  evaluation.is_shuffled = evaluation.is_augmented = false;
  Loader train(split, mean, deviation, training), test(split, mean, deviation, evaluation);
  Best whole, training_best, evaluation_best;
  for (std::int64_t round = 0; round < options.rounds; ++round) {
    whole.time([&] { decode_whole(split, options.threads); });
    training_best.time([&] { load_epoch(train, 0); });
    evaluation_best.time([&] { load_epoch(test, 0); });
  }
  const auto print = [&](const std::string& what, const Best& best) {
    const auto images = static_cast<double>(split.size());
    fmt::print("{:<34} {:6.0f} images/s, {:3.0f} % of decoding; {:.2f} ms of a processor an image, {:3.0f} %\n", what, images / best.seconds,
               100 * whole.seconds / best.seconds, 1e3 * best.processor_seconds / images, 100 * whole.processor_seconds / best.processor_seconds);
  };
  print("decoding whole, libjpeg-turbo", whole);
  print(fmt::format("training batches, {} pixels", options.size), training_best);
  print("evaluation batches", evaluation_best);
  for (std::int32_t epoch = 1; epoch <= 3; ++epoch) {
    load_epoch(train, epoch);
    fmt::print("resident after epoch {}          {:7.1f} MB\n", epoch, resident_megabytes());
  }
  if (is_made) fs::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace isda

int main(int count, char** words) {
  CLI::App app("Loading a folder of JPEG files, beside libjpeg-turbo's decoding of them");
  isda::Options options;
  app.add_option("--folder", options.folder, "folder of JPEG files; made and removed where it is not given");
  app.add_option("--images", options.images, "how many are made")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "of both sides")->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "how often each is timed")->check(CLI::PositiveNumber);
  app.add_option("--size", options.size, "pixels of what is made")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, count, words);
  try {
    return isda::measure(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "isda_bench_images: {}\n", error.what());
    return 1;
  }
}
