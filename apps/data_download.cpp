// SPDX-License-Identifier: Apache-2.0
// isda data download: a data set from where it is published, or a mirror.
#include "apps/command.h"
#include "apps/progress.h"
#include "datasets/download.h"

namespace isda {
namespace {

struct Flags {
  std::string dataset, data_dir = "data", mirror;
  bool extra = false;
};

void add_flags(CLI::App& app, Flags& flags) {
  app.add_option("DATASET", flags.dataset, "which")->required()->check(one_of(downloadable_datasets()));
  app.add_option("--data-dir", flags.data_dir, "folder for its files; made when it is not there")->capture_default_str();
  app.add_option("--mirror", flags.mirror, "URL of a folder that holds the same files; empty = where they are published");
  app.add_flag("--extra", flags.extra, "svhn: also extra_32x32.mat, 531,131 easier images, 1.3 GB");
}

int run_download(const Flags& flags) {
  for (const PublishedFile& file : published_files(flags.dataset, flags.extra)) {
    fmt::print("{}\n", flags.mirror.empty() ? file.url : flags.mirror + " (" + file.name() + ")");
    std::fflush(stdout);
    DownloadProgress progress;
    const Downloaded done = [&] {
      try {
        return download(file, {.directory = flags.data_dir, .mirror = flags.mirror, .on_progress = [&](std::int64_t bytes, std::int64_t total) {
                                 progress.bytes(bytes, total);
                               }});
      } catch (...) {
        progress.clear();
        throw;
      }
    }();
    progress.clear();
    fmt::print("{}{}: {} bytes, as published\n  MD5     {}\n  SHA-256 {}{}\n", done.path.string(), done.was_there ? " was there" : "", done.bytes,
               done.sums.md5, done.sums.sha256, file.sha256.empty() ? " (not published: for you to compare)" : "");
  }
  fmt::print("train with --dataset {} --data-dir {}\n", flags.dataset, flags.data_dir);
  return 0;
}

const Subcommand command{
    {.name = "data download", .help = "download a data set: resumed where it was broken off, checked", .declare = with_flags(add_flags, run_download)}};

}  // namespace
}  // namespace isda
