// SPDX-License-Identifier: Apache-2.0
#include "datasets/download.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "core/atomic_file.h"
#include "kernels/common/error.h"

namespace isda {

namespace fs = std::filesystem;

namespace {

constexpr long kSecondsToConnect = 30, kSecondsOfSilence = 60;
// Connections one after the other that bring nothing.
constexpr int kMostInVain = 3;

fs::path with_ending(fs::path path, const char* ending) {
  path += ending;
  return path;
}

// NAME.part, held by one process at a time.
class PartFile {
 public:
  explicit PartFile(const fs::path& path) : path_(path), descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    require(descriptor_ >= 0, "[{}] cannot be made: {}", path.string(), std::strerror(errno));
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(descriptor_);
      fail("[{}] is being downloaded by another process; wait for it", path.string());
    }
  }
  ~PartFile() { ::close(descriptor_); }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  std::int64_t size() const { return ::lseek(descriptor_, 0, SEEK_END); }
  bool clear() { return ::ftruncate(descriptor_, 0) == 0; }
  // Behind what there is; an errno, or 0.
  int append(const char* bytes, std::size_t count) {
    ::lseek(descriptor_, 0, SEEK_END);
    while (count > 0) {
      const ssize_t written = ::write(descriptor_, bytes, count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      bytes += written;
      count -= static_cast<std::size_t>(written);
    }
    return 0;
  }
  void make_durable() { require(::fsync(descriptor_) == 0, "[{}] could not be written: {}", path_.string(), std::strerror(errno)); }

 private:
  const fs::path& path_;
  int descriptor_;
};

// One request, from the end of the part that is there.
class Transfer {
 public:
  Transfer(const std::string& url, PartFile& part, const DownloadOptions& options)
      : part_(part), options_(options), begin_(part.size()), curl_(curl_easy_init()) {
    require(curl_ != nullptr, "[download] libcurl cannot be used");
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, 5L);
    set(CURLOPT_CONNECTTIMEOUT, kSecondsToConnect);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, kSecondsOfSilence);
    set(CURLOPT_USERAGENT, "isda");
#if LIBCURL_VERSION_NUM >= 0x075500
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    set(CURLOPT_PROTOCOLS, long{CURLPROTO_HTTP | CURLPROTO_HTTPS});
    set(CURLOPT_REDIR_PROTOCOLS, long{CURLPROTO_HTTP | CURLPROTO_HTTPS});
#endif
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEFUNCTION, &Transfer::take);
    if (begin_ > 0) set(CURLOPT_RANGE, fmt::format("{}-", begin_).c_str());
  }

  void run() { result_ = curl_easy_perform(curl_.get()); }

  long status() const {
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
  bool is_whole() const { return result_ == CURLE_OK && status() < 300; }
  // What was asked for lies behind the end of the file.
  bool is_behind_the_end() const { return result_ == CURLE_OK && status() == 416 && begin_ > 0; }
  // Worth another connection: this one broke, or the server is busy.
  bool is_worth_another() const { return write_error_ == 0 && (result_ != CURLE_OK ? !is_hopeless() : status() >= 500 || status() == 429); }
  std::string reason() const {
    if (write_error_ != 0) return std::strerror(write_error_);
    if (result_ != CURLE_OK) return error_[0] != '\0' ? error_ : curl_easy_strerror(result_);
    return fmt::format("the server says {}{}", status(), status() == 404 ? ": there is no such file" : "");
  }

 private:
  struct Free {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  };

  template <class Value>
  void set(CURLoption option, Value value) {
    curl_easy_setopt(curl_.get(), option, value);
  }

  bool is_hopeless() const { return result_ == CURLE_UNSUPPORTED_PROTOCOL || result_ == CURLE_URL_MALFORMAT || result_ == CURLE_PEER_FAILED_VERIFICATION; }

  static std::size_t take(char* bytes, std::size_t, std::size_t count, void* self) { return static_cast<Transfer*>(self)->append(bytes, count); }

  std::size_t append(const char* bytes, std::size_t count) {
    if (status() >= 300) return count;  // words about an error
    // NOTE: a server that knows no ranges begins at the beginning.
    if (done_ == 0 && begin_ > 0 && status() != 206) {
      if (!part_.clear()) write_error_ = errno;
      begin_ = 0;
    }
    if (write_error_ == 0) write_error_ = part_.append(bytes, count);
    if (write_error_ != 0) return 0;
    done_ += static_cast<std::int64_t>(count);
    curl_off_t left = -1;
    curl_easy_getinfo(curl_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &left);
    if (options_.on_progress) options_.on_progress(begin_ + done_, left > 0 ? begin_ + left : 0);
    return count;
  }

  PartFile& part_;
  const DownloadOptions& options_;
  std::int64_t begin_, done_ = 0;
  std::unique_ptr<CURL, Free> curl_;
  char error_[CURL_ERROR_SIZE] = "";
  CURLcode result_ = CURLE_OK;
  int write_error_ = 0;
};

// Connections until the file is whole.
void fetch(const std::string& url, PartFile& part, const DownloadOptions& options) {
  for (int in_vain = 0;;) {
    const std::int64_t before = part.size();
    Transfer transfer(url, part, options);
    transfer.run();
    if (transfer.is_whole()) return;
    // NOTE: either nothing was left to send, or what is there is of another file: the checksum tells.
    if (transfer.is_behind_the_end()) return;
    in_vain = part.size() > before ? 0 : in_vain + 1;
    require(transfer.is_worth_another() && in_vain < kMostInVain, "[download] {}: {}; {} bytes of it are here, run this again to go on from there", url,
            transfer.reason(), part.size());
    std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds_between));
  }
}

// What is wrong with a file; empty when it is what is published.
std::string difference(const Checksums& sums, const PublishedFile& file) {
  if (!file.md5.empty() && sums.md5 != file.md5) return fmt::format("has the MD5 {}, expected {}", sums.md5, file.md5);
  if (!file.sha256.empty() && sums.sha256 != file.sha256) return fmt::format("has the SHA-256 {}, expected {}", sums.sha256, file.sha256);
  return "";
}

std::string url_of(const PublishedFile& file, const std::string& mirror) {
  if (mirror.empty()) return file.url;
  return mirror + (mirror.ends_with("/") ? "" : "/") + file.name();
}

}  // namespace

Downloaded download(const PublishedFile& file, const DownloadOptions& options) {
  std::error_code error;
  fs::create_directories(options.directory, error);
  require(!error, "[download] the folder {} cannot be made: {}", options.directory.string(), error.message());
  const fs::path path = options.directory / file.name(), part_path = with_ending(path, ".part");
  if (fs::exists(path, error)) {
    const Checksums sums = checksums_of(path);
    const std::string wrong = difference(sums, file);
    require(wrong.empty(), "[download] {} is there and {}: it is not the file that is published; remove it and run this again", path.string(), wrong);
    return {.path = path, .bytes = static_cast<std::int64_t>(fs::file_size(path)), .sums = sums, .was_there = true};
  }

  PartFile part(part_path);
  fetch(url_of(file, options.mirror), part, options);
  part.make_durable();
  const Checksums sums = checksums_of(part_path);
  if (const std::string wrong = difference(sums, file); !wrong.empty()) {
    const fs::path aside = with_ending(path, ".wrong");
    fs::rename(part_path, aside, error);
    fail("[download] what came from {} {}: it is damaged, or another file; it is kept as {}, run this again or name another --mirror",
         url_of(file, options.mirror), wrong, aside.string());
  }
  fs::rename(part_path, path, error);
  require(!error, "[download] {} could not be renamed: {}", part_path.string(), error.message());
  write_atomically(with_ending(path, ".sha256"), fmt::format("{}  {}\n", sums.sha256, file.name()));
  return {.path = path, .bytes = static_cast<std::int64_t>(fs::file_size(path)), .sums = sums};
}

}  // namespace isda
