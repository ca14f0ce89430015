// SPDX-License-Identifier: Apache-2.0
#include "datasets/published_files.h"

namespace isda {

const std::vector<std::string>& downloadable_datasets() {
  static const std::vector<std::string> names{"cifar10", "cifar100", "svhn"};
  return names;
}

std::vector<PublishedFile> published_files(std::string_view dataset, bool with_extra) {
  const std::string toronto = "https://www.cs.toronto.edu/~kriz/", stanford = "http://ufldl.stanford.edu/housenumbers/";
  if (dataset == "cifar10")
    return {{toronto + "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}};
  if (dataset == "cifar100")
    return {{toronto + "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}};
  if (dataset != "svhn") return {};
  std::vector<PublishedFile> files{{stanford + "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", ""},
                                   {stanford + "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", ""}};
  if (with_extra) files.push_back({stanford + "extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", ""});
  return files;
}

}  // namespace isda
