// SPDX-License-Identifier: Apache-2.0
// Checksums of a file, by OpenSSL's libcrypto.   MD5: RFC 1321, as the data sets' pages give it. SHA-256: FIPS 180-4, which nobody can make another file for.
#pragma once
#include <filesystem>
#include <string>

namespace isda {

// In hexadecimal, small letters.
struct Checksums {
  std::string md5, sha256;
};
Checksums checksums_of(const std::filesystem::path& file);

}  // namespace isda
