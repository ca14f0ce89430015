// SPDX-License-Identifier: Apache-2.0
// A folder for the files of one test, removed with all that is in it.
#pragma once
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "kernels/common/error.h"

namespace isda {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "isda_test_XXXXXX").string();
    require(mkdtemp(name.data()) != nullptr, "[test] cannot create a folder like {}", name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace isda
