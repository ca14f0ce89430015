// SPDX-License-Identifier: Apache-2.0
#include "datasets/checksums.h"

#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "kernels/common/error.h"

namespace isda {

namespace {

class Digest {
 public:
  explicit Digest(const EVP_MD* kind) : context_(EVP_MD_CTX_new()) { check(context_ && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1); }
  void add(const char* bytes, std::size_t count) { check(EVP_DigestUpdate(context_.get(), bytes, count) == 1); }
  std::string hexadecimal() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest, &length) == 1);
    std::string text;
    for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  static void check(bool is_done) { require(is_done, "[checksum] OpenSSL computes no MD5 or SHA-256 here"); }

  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace

Checksums checksums_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  require(stream.is_open(), "[{}] cannot be opened: {}", file.string(), std::strerror(errno));
  Digest md5(EVP_md5()), sha256(EVP_sha256());
  std::vector<char> buffer(std::size_t{1} << 20);
  while (stream) {
    stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    const auto count = static_cast<std::size_t>(stream.gcount());
    md5.add(buffer.data(), count);
    sha256.add(buffer.data(), count);
  }
  require(stream.eof(), "[{}] cannot be read: {}", file.string(), std::strerror(errno));
  return {.md5 = md5.hexadecimal(), .sha256 = sha256.hexadecimal()};
}

}  // namespace isda
