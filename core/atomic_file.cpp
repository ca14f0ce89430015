// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "kernels/common/error.h"

namespace isda {

namespace {

std::string message_of(int error) { return std::generic_category().message(error); }

// NAME itself, or what it points to when it is a symbolic link: the link stays a link.
std::filesystem::path destination_of(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  require(path.has_filename(), "[file] '{}' names no file to write", path.string());
  std::error_code error;
  const bool is_link = fs::is_symlink(fs::symlink_status(path, error));
  const fs::path destination = is_link ? fs::weakly_canonical(path, error) : path;
  require(!is_link || !error, "[file] {} is a link that leads nowhere: {}", path.string(), error.message());
  const auto kind = fs::status(destination, error).type();
  require(kind != fs::file_type::directory, "[file] {} is a folder, expected the name of a file to write", path.string());
  require(kind == fs::file_type::regular || kind == fs::file_type::not_found || kind == fs::file_type::none,
          "[file] {} is not a regular file; a device or a pipe cannot be replaced", path.string());
  return destination;
}

bool is_same_file(int descriptor, const std::filesystem::path& path) {
  struct stat opened {
  }, named{};
  return fstat(descriptor, &opened) == 0 && lstat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path, std::size_t bytes) : path_(destination_of(path)), temporary_(path_), bytes_wanted_(bytes) {
  temporary_ += ".tmp";
  while (true) {
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor_ < 0) {
      const int error = errno;
      fail("[file] cannot create {}: {}; {}", temporary_.string(), message_of(error),
           error == ENOENT ? "make the folder first" : "check the folder and its permissions");
    }
    // NOTE: a file system without locks (ENOLCK, EOPNOTSUPP) is written to without one.
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      close(descriptor_);
      fail("[file] {} is being written by another process (it holds {}); wait for it or choose another name", path_.string(), temporary_.string());
    }
    // NOTE: between open and flock the process that held the lock may have renamed this very file to its destination.
    if (is_same_file(descriptor_, temporary_)) break;
    close(descriptor_);
  }
  if (ftruncate(descriptor_, 0) != 0) fail_with(errno, "cannot empty");
  // What was readable for few stays so.
  struct stat before {};
  if (stat(path_.c_str(), &before) == 0 && fchmod(descriptor_, before.st_mode & 07777) != 0) fail_with(errno, "cannot set the permissions of");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  unlink(temporary_.c_str());
  close(descriptor_);
}

void AtomicFile::write(std::span<const std::byte> content) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor_, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with(errno, "cannot write");
    content = content.subspan(static_cast<std::size_t>(written));
    bytes_written_ += static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) fail_with(errno, "cannot make durable");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_with(errno, "cannot rename the finished file to");
  close(descriptor_);
  descriptor_ = -1;
  // Make the new name durable too.
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const int folder_descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor < 0) return;  // a folder that can be written but not read
  const int error = fsync(folder_descriptor) == 0 ? 0 : errno;
  close(folder_descriptor);
  // NOTE: some file systems cannot sync a folder and say EINVAL; the file itself is safe.
  require(error == 0 || error == EINVAL, "[file] {} was written, but its folder could not be made durable: {}", path_.string(), message_of(error));
}

void AtomicFile::fail_with(int error, const char* what) {
  unlink(temporary_.c_str());
  close(descriptor_);
  descriptor_ = -1;
  const std::string kept = access(path_.c_str(), F_OK) == 0 ? "; the file that was there is unchanged" : "";
  if (error != ENOSPC && error != EDQUOT && error != EFBIG) fail("[file] {} {}: {}{}", what, path_.string(), message_of(error), kept);
  fail("[file] {} {}: {} bytes are wanted, {} could be written ({}); free some space or choose another folder{}", what, path_.string(),
       std::max(bytes_wanted_, bytes_written_), bytes_written_, message_of(error), kept);
}

void write_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path, content.size());
  file.write(content);
  file.commit();
}

}  // namespace isda
