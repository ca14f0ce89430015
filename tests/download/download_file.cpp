// SPDX-License-Identifier: Apache-2.0
// download() of one file of any checksum, for download_test.py: download_file URL FOLDER MD5 [SHA256]
#include <fmt/core.h>

#include <cstdio>

#include "datasets/download.h"

int main(int count, char** words) {
  try {
    const isda::PublishedFile file{.url = words[1], .md5 = words[3], .sha256 = count > 4 ? words[4] : ""};
    std::int64_t last = 0, known = 0;
    const auto done = isda::download(file, {.directory = words[2],
                                            .mirror = "",
                                            .on_progress =
                                                [&](std::int64_t bytes, std::int64_t total) {
                                                  last = bytes;
                                                  known = total;
                                                },
                                            .seconds_between = 0.01});
    fmt::print("{} {} {} {} {}\n", done.path.string(), done.bytes, done.was_there ? "was there" : "came", last, known);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
