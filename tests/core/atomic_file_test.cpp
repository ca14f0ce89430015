// SPDX-License-Identifier: Apache-2.0
// A file is either the old one or the new one, whatever happens in between, and nothing is left beside it.
#include "core/atomic_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "core/safetensors.h"
#include "tests/core/temporary_folder.h"

namespace isda {
namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class AtomicFileTest : public testing::Test {
 protected:
  // The names in the folder besides the file itself.
  std::vector<std::string> others() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (entry.path() != file_) names.push_back(entry.path().filename());
    }
    return names;
  }

  template <class Body>
  static std::string error_of(Body&& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / "config.json";
};

// Files of this process end at `bytes` while this lives: what a full disk does, without one.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, SIG_DFL);
  }

 private:
  rlimit before_{};
};

TEST_F(AtomicFileTest, WritesAndReplaces) {
  write_atomically(file_, "first");
  EXPECT_EQ(content_of(file_), "first");
  write_atomically(file_, "");
  EXPECT_EQ(content_of(file_), "");
  EXPECT_TRUE(others().empty());
}

TEST_F(AtomicFileTest, NothingHappensWithoutCommit) {
  write_atomically(file_, "old");
  {
    AtomicFile file(file_);
    file.write("new");
    EXPECT_EQ(content_of(file_), "old");
  }
  EXPECT_EQ(content_of(file_), "old");
  EXPECT_TRUE(others().empty());
}

TEST_F(AtomicFileTest, AFullDiskKeepsTheOldFile) {
  write_atomically(file_, "old");
  std::string message;
  {
    const FileSizeLimit limit(1000);
    message = error_of([&] { write_atomically(file_, std::string(5000, 'x')); });
  }
  EXPECT_NE(message.find(file_.string()), std::string::npos) << message;
  EXPECT_NE(message.find("5000 bytes are wanted, 1000 could be written"), std::string::npos) << message;
  EXPECT_NE(message.find("unchanged"), std::string::npos) << message;
  EXPECT_EQ(content_of(file_), "old");
  EXPECT_TRUE(others().empty());
}

TEST_F(AtomicFileTest, AFullDiskKeepsTheOldWeights) {
  const std::vector<float> weight(1000, 1.0f);
  const std::vector<NamedView> small{{"w", {weight.data(), DType::f32, {10}}}}, large{{"w", {weight.data(), DType::f32, {1000}}}};
  write_safetensors(file_, small);
  std::string message;
  {
    const FileSizeLimit limit(1000);
    message = error_of([&] { write_safetensors(file_, large); });
  }
  EXPECT_NE(message.find("4072 bytes are wanted"), std::string::npos) << message;
  EXPECT_EQ(Safetensors::open(file_).view("w").size(), 10);
  EXPECT_TRUE(others().empty());
}

TEST_F(AtomicFileTest, AKilledWriterLeavesTheOldFileAndRoomForTheNext) {
  write_atomically(file_, "old");
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile file(file_);
    file.write("a long half of the new content");
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(content_of(file_), "old");
  EXPECT_EQ(others(), std::vector<std::string>{"config.json.tmp"});
  write_atomically(file_, "new");
  EXPECT_EQ(content_of(file_), "new");
  EXPECT_TRUE(others().empty());
}

TEST_F(AtomicFileTest, TwoWritersAtOnceAreRefused) {
  AtomicFile first(file_);
  first.write("first");
  EXPECT_NE(error_of([&] { AtomicFile second(file_); }).find("being written by another process"), std::string::npos);
  first.commit();
  EXPECT_EQ(content_of(file_), "first");
}

TEST_F(AtomicFileTest, KeepsLinksAndPermissions) {
  const auto target = folder_.path() / "target";
  write_atomically(target, "old");
  chmod(target.c_str(), 0640);
  std::filesystem::create_symlink(target, file_);
  write_atomically(file_, "new");
  EXPECT_TRUE(std::filesystem::is_symlink(file_));
  EXPECT_EQ(content_of(target), "new");
  EXPECT_EQ(static_cast<int>(std::filesystem::status(target).permissions()), 0640);
}

TEST_F(AtomicFileTest, RefusesWhatCannotBeReplaced) {
  EXPECT_NE(error_of([&] { write_atomically(folder_.path(), "x"); }).find("is a folder"), std::string::npos);
  EXPECT_NE(error_of([&] { write_atomically(folder_.path() / "no" / "file", "x"); }).find("make the folder first"), std::string::npos);
  EXPECT_NE(error_of([&] { write_atomically("", "x"); }).find("names no file"), std::string::npos);
  const auto pipe = folder_.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NE(error_of([&] { write_atomically(pipe, "x"); }).find("not a regular file"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

}  // namespace
}  // namespace isda
