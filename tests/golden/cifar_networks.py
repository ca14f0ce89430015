# SPDX-License-Identifier: Apache-2.0
"""The families of networks for 32x32 images once more, in PyTorch, from their papers: what make_network_logits.py asks for logits.

In evaluation only: what is dropped or shaken in training is replaced by its expectation. Tensors are called as `isda models NAME` calls them.
"""
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, pad, relu


def conv(channels_in, channels, kernel, stride=1, groups=1):
    """A convolution that keeps the extent, but for its stride."""
    return nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False)


class Stages(nn.Module):
    """conv1 to 16 channels or more, three stages of blocks of which the second and third halve the extent, means over the pixels, fc."""

    def __init__(self, first, classes=10):
        super().__init__()
        self.conv1 = conv(3, first, 3)
        self.width, self.classes = first, classes

    def add_stages(self, blocks, block_of, name="layer{}"):
        """block_of(channels_in, stage, index, stride) makes a block and says how wide what leaves it is."""
        for stage in (1, 2, 3):
            made = []
            for index in range(blocks):
                block, self.width = block_of(self.width, stage, index, 2 if stage > 1 and index == 0 else 1)
                made.append(block)
            self.add_stage(name.format(stage), nn.Sequential(*made))
        self.fc = nn.Linear(self.width, self.classes)

    def add_stage(self, name, stage):
        setattr(self, name, stage)

    def stages(self):
        return [self.layer1, self.layer2, self.layer3]

    def before(self, x):
        return relu(self.bn1(self.conv1(x)))

    def after(self, x):
        return x

    def forward(self, images):
        x = self.before(images)
        for stage in self.stages():
            x = stage(x)
        return self.fc(self.after(x).mean(dim=(2, 3)))


class Squeeze(nn.Module):
    """Hu et al. 2018, equations 2 to 4: without biases, reduction 16."""

    def __init__(self, channels):
        super().__init__()
        self.fc1, self.fc2 = conv(channels, channels // 16, 1), conv(channels // 16, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class Basic(nn.Module):
    """He et al. 2016; with squeeze-and-excitation Hu et al. 2018."""

    def __init__(self, channels_in, channels, stride, squeezes):
        super().__init__()
        self.conv1, self.bn1 = conv(channels_in, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), nn.BatchNorm2d(channels)
        self.se = Squeeze(channels) if squeezes else nn.Identity()
        changes = stride != 1 or channels_in != channels
        self.downsample = nn.Sequential(conv(channels_in, channels, 1, stride), nn.BatchNorm2d(channels)) if changes else nn.Identity()

    def forward(self, x):
        return relu(self.se(self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))) + self.downsample(x))


class ResNet(Stages):
    def __init__(self, depth, squeezes=False):
        super().__init__(16)
        self.bn1 = nn.BatchNorm2d(16)
        self.add_stages((depth - 2) // 6, lambda width, stage, index, stride: (Basic(width, 8 << stage, stride, squeezes), 8 << stage))


class ResNeXtBlock(nn.Module):
    """Xie et al. 2017, figure 3c."""

    def __init__(self, channels_in, inside, channels, stride, groups):
        super().__init__()
        self.conv1, self.bn1 = conv(channels_in, inside, 1), nn.BatchNorm2d(inside)
        self.conv2, self.bn2 = conv(inside, inside, 3, stride, groups), nn.BatchNorm2d(inside)
        self.conv3, self.bn3 = conv(inside, channels, 1), nn.BatchNorm2d(channels)
        changes = stride != 1 or channels_in != channels
        self.downsample = nn.Sequential(conv(channels_in, channels, 1, stride), nn.BatchNorm2d(channels)) if changes else nn.Identity()

    def forward(self, x):
        y = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        return relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNeXt(Stages):
    def __init__(self, depth, groups, group_width):
        super().__init__(64)
        self.bn1 = nn.BatchNorm2d(64)
        self.add_stages((depth - 2) // 9, lambda width, stage, index, stride: (
            ResNeXtBlock(width, groups * group_width << (stage - 1), 128 << stage, stride, groups), 128 << stage))


class Preact(nn.Module):
    """He et al. 2016, Identity Mappings: normalisation and ReLU before each convolution; the first block of all, and those that change the shape, split after the first ReLU."""

    def __init__(self, channels_in, channels, stride, is_bottleneck, is_first):
        super().__init__()
        inside = channels // 4 if is_bottleneck else channels
        kernels = (1, 3, 1) if is_bottleneck else (3, 3)
        self.strided = 1 if is_bottleneck else 0
        widths = [channels_in] + [inside] * (len(kernels) - 1) + [channels]
        self.count = len(kernels)
        for i, kernel in enumerate(kernels):
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i]))
            setattr(self, f"conv{i + 1}", conv(widths[i], widths[i + 1], kernel, stride if i == self.strided else 1))
        changes = stride != 1 or channels_in != channels
        self.downsample = nn.Sequential(conv(channels_in, channels, 1, stride)) if changes else None
        self.splits_activated = changes or is_first

    def forward(self, x):
        y = activated = relu(self.bn1(x))
        for i in range(1, self.count + 1):
            y = getattr(self, f"conv{i}")(y if i == 1 else relu(getattr(self, f"bn{i}")(y)))
        shortcut = activated if self.splits_activated else x
        return y + (self.downsample(shortcut) if self.downsample else shortcut)


class PreactResNet(Stages):
    def __init__(self, depth, is_bottleneck=False):
        super().__init__(16)
        widening = 4 if is_bottleneck else 1
        self.add_stages((depth - 2) // (9 if is_bottleneck else 6), lambda width, stage, index, stride: (
            Preact(width, (8 << stage) * widening, stride, is_bottleneck, stage == 1 and index == 0), (8 << stage) * widening))
        self.bn = nn.BatchNorm2d(self.width)

    def before(self, x):
        return self.conv1(x)

    def after(self, x):
        return relu(self.bn(x))


class Wide(nn.Module):
    """Zagoruyko and Komodakis 2016; nothing is dropped in evaluation."""

    def __init__(self, channels_in, channels, stride, squeezes):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(channels_in), conv(channels_in, channels, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), conv(channels, channels, 3)
        self.se = Squeeze(channels) if squeezes else nn.Identity()
        self.convShortcut = conv(channels_in, channels, 1, stride) if stride != 1 or channels_in != channels else None

    def forward(self, x):
        activated = relu(self.bn1(x))
        y = self.se(self.conv2(relu(self.bn2(self.conv1(activated)))))
        return y + (self.convShortcut(activated) if self.convShortcut else x)


class Group(nn.Module):
    """A stage whose blocks are called layer.0, layer.1, ..."""

    def __init__(self, stage):
        super().__init__()
        self.layer = stage

    def forward(self, x):
        return self.layer(x)


class WideResNet(Stages):
    def __init__(self, depth, k, squeezes=False):
        super().__init__(16)
        self.add_stages((depth - 4) // 6, lambda width, stage, index, stride: (Wide(width, (8 << stage) * k, stride, squeezes), (8 << stage) * k), "block{}")
        self.bn1 = nn.BatchNorm2d(self.width)

    def add_stage(self, name, stage):
        setattr(self, name, Group(stage))

    def stages(self):
        return [self.block1, self.block2, self.block3]

    def before(self, x):
        return self.conv1(x)

    def after(self, x):
        return relu(self.bn1(x))


class Branch(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(channels_in, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(relu(x))))))


class TwoFlows(nn.Module):
    """Gastaldi 2017, section 2.1: every second pixel, and every second of the image shifted by one right and down, each by a 1x1 convolution to half of the channels."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv, self.bn, self.stride = conv(2 * channels_in, channels, 1, groups=2), nn.BatchNorm2d(channels), stride

    def forward(self, x):
        x = relu(x)
        shifted = pad(x, (1, -1, 1, -1))
        halves = [avg_pool2d(flow, 1, self.stride) for flow in (x, shifted)]
        first, second = self.conv.weight.chunk(2)
        return self.bn(torch.cat([nn.functional.conv2d(halves[0], first), nn.functional.conv2d(halves[1], second)], dim=1))


class ShakeBlock(nn.Module):
    """In evaluation both branches by half."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.branch1, self.branch2 = Branch(channels_in, channels, stride), Branch(channels_in, channels, stride)
        self.shortcut = TwoFlows(channels_in, channels, stride) if stride != 1 or channels_in != channels else nn.Identity()

    def forward(self, x):
        return self.shortcut(x) + (self.branch1(x) + self.branch2(x)) / 2


class ShakeShake(Stages):
    def __init__(self, depth, width):
        super().__init__(16)
        self.bn1 = nn.BatchNorm2d(16)
        self.add_stages((depth - 2) // 6, lambda channels, stage, index, stride: (ShakeBlock(channels, width << (stage - 1), stride), width << (stage - 1)))

    def before(self, x):
        return self.bn1(self.conv1(x))

    def after(self, x):
        return relu(x)


class Pyramid(nn.Module):
    """Han et al. 2017, figures 6d and 5b: the shortcut is averaged and padded with zeros. survival: what ShakeDrop leaves in expectation (Yamada et al. 2019, equation 6)."""

    def __init__(self, channels_in, width, stride, is_bottleneck, survival):
        super().__init__()
        kernels = (1, 3, 1) if is_bottleneck else (3, 3)
        widths = [channels_in, width, width, 4 * width] if is_bottleneck else [channels_in, width, width]
        for i, kernel in enumerate(kernels):
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i]))
            setattr(self, f"conv{i + 1}", conv(widths[i], widths[i + 1], kernel, stride if i == (1 if is_bottleneck else 0) else 1))
        setattr(self, f"bn{len(kernels) + 1}", nn.BatchNorm2d(widths[-1]))
        self.count, self.stride, self.missing, self.survival = len(kernels), stride, widths[-1] - channels_in, survival

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(y)
            y = getattr(self, f"conv{i}")(relu(y) if i > 1 else y)
        y = getattr(self, f"bn{self.count + 1}")(y)
        return self.survival * y + pad(avg_pool2d(x, self.stride), (0, 0, 0, 0, 0, self.missing))


class PyramidNet(Stages):
    def __init__(self, depth, alpha, is_bottleneck=False, survival=1.0):
        super().__init__(16)
        self.bn1 = nn.BatchNorm2d(16)
        of_stage = (depth - 2) // (9 if is_bottleneck else 6)
        blocks = 3 * of_stage

        def block_of(channels, stage, index, stride):
            k = (stage - 1) * of_stage + index + 1
            width = int(16 + alpha * k / blocks + 1e-9)
            return Pyramid(channels, width, stride, is_bottleneck, 1 - k / blocks * (1 - survival)), width * (4 if is_bottleneck else 1)

        self.add_stages(of_stage, block_of)
        self.bn_final = nn.BatchNorm2d(self.width)

    def before(self, x):
        return self.bn1(self.conv1(x))

    def after(self, x):
        return relu(self.bn_final(x))


class Joining(nn.Sequential):
    """Huang et al. 2017: what comes in stays, and what the layers make of it is put behind it."""

    def forward(self, x):
        return torch.cat([x, super().forward(x)], 1)


def named(kind, **parts):
    module = kind()
    for name, part in parts.items():
        module.add_module(name, part)
    return module


def densenet_bc(depth, growth, classes=10):
    """DenseNet-BC, Huang et al. 2017, with torchvision's names."""
    channels = 2 * growth
    features = {"conv0": conv(3, channels, 3)}
    for block in (1, 2, 3):
        layers = {}
        for layer in range((depth - 4) // 6):
            layers[f"denselayer{layer + 1}"] = named(
                Joining, norm1=nn.BatchNorm2d(channels), relu1=nn.ReLU(), conv1=conv(channels, 4 * growth, 1),
                norm2=nn.BatchNorm2d(4 * growth), relu2=nn.ReLU(), conv2=conv(4 * growth, growth, 3))
            channels += growth
        features[f"denseblock{block}"] = named(nn.Sequential, **layers)
        if block < 3:
            features[f"transition{block}"] = named(
                nn.Sequential, norm=nn.BatchNorm2d(channels), relu=nn.ReLU(), conv=conv(channels, channels // 2, 1), pool=nn.AvgPool2d(2))
            channels //= 2
    features["norm5"] = nn.BatchNorm2d(channels)
    return named(nn.Sequential, features=named(nn.Sequential, **features), relu5=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
                 classifier=nn.Linear(channels, classes))
