#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes networks/*.json: the logits of networks that were written without this framework, of which every weight and running statistic comes from the
formula of README.md.

    make_network_logits.py             all of NETWORKS
    make_network_logits.py NAME ...    these

Also makes weights/densenet_bc10_4.safetensors, a file as PyTorch writes it of a wrapped network.

Needs PyTorch, torchvision, timm and safetensors; computes in float64, in evaluation. To add a network, add a line to NETWORKS: its name as `isda models` lists it, what
builds it, the extent of its images (small: the networks average over pixels at their end). Where the network calls its tensors otherwise than
`isda models NAME`, give `name_of`, from its names to ours.
"""
import json
import math
import os
import sys

import safetensors.torch
import timm
import torch
import torchvision

import cifar_networks as cifar
import formula

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES, SHOWN = 2, 10


def of_torchvision(name):
    """A network of torchvision, without weights."""
    return lambda: torchvision.models.get_model(name, weights=None)


def densenet_bc(depth, growth, classes=10):
    """DenseNet-BC for small images, Huang et al. 2017, with torchvision's names."""

    class Joining(torch.nn.Module):
        def __init__(self, branch):
            super().__init__()
            for name, part in branch:
                self.add_module(name, part)

        def forward(self, x):
            branch = torch.nn.Sequential(*self.children())
            return torch.cat([x, branch(x)], 1)

    def convolution(inputs, outputs, size):
        return torch.nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)

    def build():
        nn, channels = torch.nn, 2 * growth
        features = nn.Sequential()
        features.add_module("conv0", convolution(3, channels, 3))
        for block in (1, 2, 3):
            layers = nn.Sequential()
            for layer in range((depth - 4) // 6):
                layers.add_module(f"denselayer{layer + 1}", Joining([
                    ("norm1", nn.BatchNorm2d(channels)), ("relu1", nn.ReLU()), ("conv1", convolution(channels, 4 * growth, 1)),
                    ("norm2", nn.BatchNorm2d(4 * growth)), ("relu2", nn.ReLU()), ("conv2", convolution(4 * growth, growth, 3))]))
                channels += growth
            features.add_module(f"denseblock{block}", layers)
            if block < 3:
                transition = nn.Sequential()
                transition.add_module("norm", nn.BatchNorm2d(channels))
                transition.add_module("relu", nn.ReLU())
                transition.add_module("conv", convolution(channels, channels // 2, 1))
                transition.add_module("pool", nn.AvgPool2d(2))
                features.add_module(f"transition{block}", transition)
                channels //= 2
        features.add_module("norm5", nn.BatchNorm2d(channels))
        network = nn.Sequential()
        network.add_module("features", features)
        network.add_module("relu5", nn.ReLU())
        network.add_module("pool", nn.AdaptiveAvgPool2d(1))
        network.add_module("flatten", nn.Flatten())
        network.add_module("classifier", nn.Linear(channels, classes))
        return network

    return build


class Made:
    """How a network is made, and what it is shown."""

    def __init__(self, build, extent, made_with=f"torchvision {torchvision.__version__}", name_of=lambda name: name):
        self.build, self.extent, self.made_with, self.name_of = build, extent, f"PyTorch {torch.__version__}, {made_with}", name_of


OF_PAPERS = "cifar_networks.py"
NETWORKS = {
    "resnet20": Made(lambda: cifar.ResNet(20), 16, OF_PAPERS),
    "preact_resnet20": Made(lambda: cifar.PreactResNet(20), 16, OF_PAPERS),
    "preact_resnet164": Made(lambda: cifar.PreactResNet(164, is_bottleneck=True), 16, OF_PAPERS),
    "se_resnet20": Made(lambda: cifar.ResNet(20, squeezes=True), 16, OF_PAPERS),
    "wide_resnet16_2": Made(lambda: cifar.WideResNet(16, 2), 16, OF_PAPERS),
    "se_wide_resnet16_2": Made(lambda: cifar.WideResNet(16, 2, squeezes=True), 16, OF_PAPERS),
    "resnext20_4x4": Made(lambda: cifar.ResNeXt(20, 4, 4), 16, OF_PAPERS),
    "shake_shake26_2x8": Made(lambda: cifar.ShakeShake(26, 8), 16, OF_PAPERS),
    "pyramidnet20_20": Made(lambda: cifar.PyramidNet(20, 20), 16, OF_PAPERS),
    "pyramidnet164_20": Made(lambda: cifar.PyramidNet(164, 20, is_bottleneck=True), 16, OF_PAPERS),
    "shakedrop_pyramidnet20_20": Made(lambda: cifar.PyramidNet(20, 20, survival=0.5), 16, OF_PAPERS),
    "imagenet_resnet18": Made(of_torchvision("resnet18"), 40),
    "imagenet_resnet34": Made(of_torchvision("resnet34"), 40),
    "imagenet_resnet50": Made(of_torchvision("resnet50"), 40),
    "imagenet_resnet101": Made(of_torchvision("resnet101"), 40),
    "imagenet_resnet152": Made(of_torchvision("resnet152"), 40),
    "imagenet_resnext50_32x4d": Made(of_torchvision("resnext50_32x4d"), 40),
    "imagenet_resnext101_32x8d": Made(of_torchvision("resnext101_32x8d"), 40),
    "imagenet_densenet121": Made(of_torchvision("densenet121"), 64),
    "imagenet_densenet161": Made(of_torchvision("densenet161"), 64),
    "imagenet_densenet169": Made(of_torchvision("densenet169"), 64),
    "imagenet_densenet201": Made(of_torchvision("densenet201"), 64),
    "imagenet_densenet265": Made(lambda: torchvision.models.DenseNet(32, (6, 12, 64, 48), 64), 64),
    "densenet_bc10_4": Made(densenet_bc(10, 4), 16, "torch.nn"),
    "densenet_bc100_12": Made(densenet_bc(100, 12), 16, "torch.nn"),
    "densenet_bc250_24": Made(densenet_bc(250, 24), 8, "torch.nn"),
    "densenet_bc190_40": Made(densenet_bc(190, 40), 8, "torch.nn"),
}


def tensors_of(network, name_of):
    """The parameters and running statistics of a network by our names."""
    return {name_of(name): tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}


def digest_of(tensors):
    """The FNV-1a hash of all names and shapes, a line each, sorted: 'bn1.bias (64)'."""
    lines = sorted(f"{name} ({','.join(str(extent) for extent in tensor.shape)})\n" for name, tensor in tensors.items())
    return f"{formula.fnv1a(''.join(lines)):016x}"


@torch.no_grad()
def network_of(made):
    """The network with the weights of the formula, and these by our names."""
    network = made.build().double().eval()
    tensors = tensors_of(network, made.name_of)
    for name, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(formula.network_tensor(name, tuple(tensor.shape))))
    return network, tensors


@torch.no_grad()
def record_of(name, made):
    """What stands in the file of a network."""
    network, tensors = network_of(made)
    images = torch.from_numpy(formula.network_images(IMAGES, made.extent)).double().permute(0, 3, 1, 2)
    logits = network(images)
    # What is compared must tell networks and images apart.
    largest, between = logits.abs().max().item(), (logits[0] - logits[1]).abs().max().item()
    assert math.isfinite(largest) and 0.01 < largest < 1e6 and between > 1e-3 * largest, (name, largest, between)
    classes = logits.shape[1]
    shown = [i * classes // SHOWN for i in range(SHOWN)]
    record = {"network": name, "made_with": made.made_with, "classes": classes, "extent": made.extent,
              "parameters": sum(parameter.numel() for parameter in network.parameters()), "tensors": len(tensors), "digest": digest_of(tensors)}
    # timm has torchvision's networks under their names, and should have their tensors, too.
    in_timm = name.removeprefix("imagenet_")
    if name != in_timm and in_timm in timm.list_models():
        assert digest_of(tensors_of(timm.create_model(in_timm), made.name_of)) == record["digest"], name
        record["same_names_and_shapes"] = f"timm {timm.__version__}, {in_timm}"
    return record | {"largest": largest, "shown": shown, "logits": logits[:, shown].tolist()}


def write_weights(name):
    """The network's weights, f32, as PyTorch writes those of a wrapped one: with a prefix, and with the counters of batches."""
    network, _ = network_of(NETWORKS[name])
    state = {"model." + key: value.float() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    safetensors.torch.save_file(state, os.path.join(HERE, "weights", name + ".safetensors"), metadata={"format": "pt"})


def main():
    torch.manual_seed(0)
    names = sys.argv[1:] or list(NETWORKS)
    for name in names:
        record = record_of(name, NETWORKS[name])
        with open(os.path.join(HERE, "networks", name + ".json"), "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")
        print(f"{name:<28} {record['parameters']:>10} parameters, largest logit {record['largest']:8.3f}", flush=True)
        if name == "densenet_bc10_4":
            write_weights(name)


if __name__ == "__main__":
    main()
