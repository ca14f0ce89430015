// SPDX-License-Identifier: Apache-2.0
// A program without downloads. NOTE: it is compiled in the place of download.cpp and checksums.cpp where libcurl or libcrypto was not found.
#include "datasets/download.h"
#include "kernels/common/error.h"

namespace isda {

Downloaded download(const PublishedFile& file, const DownloadOptions&) {
  fail("[download] this build has no libcurl or no OpenSSL, and downloads nothing; bring {} by other means, or build where scripts/setup.sh has installed both",
       file.url);
}

}  // namespace isda
