#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes networks/*.json: the logits of networks that were written without this framework, of which every weight and running statistic comes from the
formula of README.md.

    make_network_logits.py             all of NETWORKS
    make_network_logits.py NAME ...    these

Needs PyTorch and torchvision; computes in float64, in evaluation. To add a network, add a line to NETWORKS: its name as `isda models` lists it, what
builds it, the extent of its images (small: the networks average over pixels at their end). Where the network calls its tensors otherwise than
`isda models NAME`, give `name_of`, from its names to ours.
"""
import json
import math
import os
import sys

import torch
import torchvision

import cifar_networks as cifar
import formula

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks")
IMAGES, SHOWN = 2, 10


def of_torchvision(name):
    """A network of torchvision, without weights."""
    return lambda: torchvision.models.get_model(name, weights=None)


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
}


def fill(network, name_of):
    """Gives every parameter and running statistic its values."""
    tensors = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(formula.network_tensor(name_of(name), tuple(tensor.shape))))


@torch.no_grad()
def logits_of(made):
    """The network's parameters, counted, and its logits (IMAGES, classes)."""
    network = made.build().double().eval()
    fill(network, made.name_of)
    images = torch.from_numpy(formula.network_images(IMAGES, made.extent)).double().permute(0, 3, 1, 2)
    return sum(parameter.numel() for parameter in network.parameters()), network(images)


def main():
    torch.manual_seed(0)
    names = sys.argv[1:] or list(NETWORKS)
    for name in names:
        made = NETWORKS[name]
        parameters, logits = logits_of(made)
        # What is compared must tell networks and images apart.
        largest, between = logits.abs().max().item(), (logits[0] - logits[1]).abs().max().item()
        assert math.isfinite(largest) and 0.01 < largest < 1e6 and between > 1e-3 * largest, (name, largest, between)
        classes = logits.shape[1]
        shown = [i * classes // SHOWN for i in range(SHOWN)]
        record = {"network": name, "made_with": made.made_with, "classes": classes, "extent": made.extent, "parameters": parameters,
                  "largest": largest, "shown": shown, "logits": logits[:, shown].tolist()}
        with open(os.path.join(FOLDER, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.write("\n")
        print(f"{name:<28} {parameters:>10} parameters, largest logit {largest:8.3f}, between images {between:8.4f}", flush=True)


if __name__ == "__main__":
    main()
