// SPDX-License-Identifier: Apache-2.0
// Data sets from their authors' servers, by libcurl.
//
// A file is written to NAME.part, checked, and renamed: what is called NAME is whole and right. A download that ended early leaves NAME.part, from whose end
// the next one goes on (HTTP ranges, RFC 9110 section 14); a server that knows no ranges sends all of it again. A connection that breaks is made anew by itself
// as long as each brings something. A file of a wrong checksum is put aside as NAME.wrong, for whoever wants to know what it is. NAME.sha256 is what `sha256sum
// -c` checks it with.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "datasets/checksums.h"
#include "datasets/published_files.h"

namespace isda {

struct DownloadOptions {
  std::filesystem::path directory;  // made when it is not there
  std::string mirror;               // in the place of what stands before the file's name in its URL; empty: from where it is published
  std::function<void(std::int64_t bytes, std::int64_t total)> on_progress;  // total 0: not known
  double seconds_between = 1;                                               // before a broken connection is made anew
};

struct Downloaded {
  std::filesystem::path path;
  std::int64_t bytes = 0;
  Checksums sums;
  bool was_there = false;  // whole and right, and nothing was downloaded
};

// Throws Error for what cannot be had, or is not what it should be.
Downloaded download(const PublishedFile& file, const DownloadOptions& options);

}  // namespace isda
