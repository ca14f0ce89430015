// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace isda {
namespace {

TEST(EditDistance, CountsEachKindOfEdit) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("epochs", "epochs"), 0);
  EXPECT_EQ(edit_distance("", "lr"), 2);
  EXPECT_EQ(edit_distance("lr", ""), 2);
  EXPECT_EQ(edit_distance("epoch", "epochs"), 1);
  EXPECT_EQ(edit_distance("eepochs", "epochs"), 1);
  EXPECT_EQ(edit_distance("epocks", "epochs"), 1);
  EXPECT_EQ(edit_distance("epohcs", "epochs"), 1);  // neighbours swapped
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("abcd", "dcba"), 3);  // a for d, b and c swapped, d for a
}

TEST(EditDistance, FoldsCaseAndDashes) {
  EXPECT_EQ(edit_distance("Lambda_0", "lambda-0"), 0);
  EXPECT_EQ(edit_distance("ZED", "zed"), 0);
}

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> sets{"cifar10", "cifar100", "shapes"};
  EXPECT_EQ(nearest("cifar", sets), "cifar10");
  EXPECT_EQ(nearest("CIFAR-10", sets), "cifar10");
  EXPECT_EQ(nearest("cifar-100", sets), "cifar100");
  EXPECT_EQ(nearest("shape", sets), "shapes");
  EXPECT_EQ(nearest("sahpes", sets), "shapes");
}

TEST(Nearest, TakesTheFirstOfEquals) {
  const std::vector<std::string> names{"resnet20", "resnet32", "resnet44"};
  EXPECT_EQ(nearest("resnet30", names), "resnet20");
  EXPECT_EQ(nearest("resnet34", names), "resnet32");
}

TEST(Nearest, IsSilentWhenNothingIsNear) {
  const std::vector<std::string> sets{"cifar10", "cifar100", "shapes"};
  EXPECT_EQ(nearest("imagenet", sets), "");
  EXPECT_EQ(nearest("", sets), "");
  EXPECT_EQ(nearest("cifar10", {}), "");
}

}  // namespace
}  // namespace isda
