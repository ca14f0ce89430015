// SPDX-License-Identifier: Apache-2.0
#include "training/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/common/error.h"

namespace isda {

RunDirectory::RunDirectory(const std::filesystem::path& path, bool is_resumed) : path_(path) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  require(!error, "[{}] the run's directory cannot be made: {}", path_.string(), error.message());

  // NOTE: the lock goes with the process, however it ends.
  const std::string lock_file = (path_ / ".lock").string();
  lock_ = ::open(lock_file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  require(lock_ >= 0, "[{}] cannot be made: {}", lock_file, std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    fail("[{}] is in use by another run; wait for it or choose another --output", path_.string());
  }
  if (is_resumed || !std::filesystem::exists(config())) return;
  ::close(lock_);
  fail("[{}] already holds a run; continue it with --resume, choose another --output, or remove it", path_.string());
}

RunDirectory::~RunDirectory() { ::close(lock_); }

}  // namespace isda
