# SPDX-License-Identifier: Apache-2.0
"""The CIFAR ResNets of He et al., Deep Residual Learning, 2016, section 4.2, in PyTorch: the peer's network.

Depth 6n+2: a 3x3 convolution to 16 channels, then three stages of n post-activation basic blocks with 16, 32 and 64 channels, global average
pooling and one linear layer. The first block of stages 2 and 3 has stride 2 and the shortcut 1x1 stride-2 convolution + batch-norm; every
other shortcut is the identity. Parameter names: conv1, bn1, layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2,shortcut.0,shortcut.1}, fc.
"""
import torch
from torch import nn
from torch.nn import functional


class BasicBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return functional.relu(y, inplace=True)


class CifarResNet(nn.Module):
    feature_width = 64

    def __init__(self, depth, classes):
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth {depth}: expected 6n+2 with n >= 1: 8, 14, 20, 32, 44, 56, 110, 1202")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1)
        self.layer2 = self._stage(16, 32, blocks, 2)
        self.layer3 = self._stage(32, 64, blocks, 2)
        self.fc = nn.Linear(64, classes)

    @staticmethod
    def _stage(channels_in, channels, blocks, stride):
        return nn.Sequential(
            *[BasicBlock(channels_in if i == 0 else channels, channels, stride if i == 0 else 1) for i in range(blocks)]
        )

    def features(self, images):
        x = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        return torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1)

    def forward(self, images):
        return self.fc(self.features(images))
