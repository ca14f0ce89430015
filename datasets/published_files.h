// SPDX-License-Identifier: Apache-2.0
// Where the files of data sets are published, and their checksums.
//
// MD5: of CIFAR as its page gives it, of SVHN as torchvision has it. SHA-256: of CIFAR as MLDatasets.jl and torchvision-ruby have it; of SVHN nobody gives one.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace isda {

// A file as it is published. sha256: empty where nobody gives one.
struct PublishedFile {
  std::string url, md5, sha256;

  std::string name() const { return url.substr(url.rfind('/') + 1); }
};

// The files of a data set; empty for one that is not downloaded. with_extra: SVHN's third file.
std::vector<PublishedFile> published_files(std::string_view dataset, bool with_extra);
const std::vector<std::string>& downloadable_datasets();

}  // namespace isda
