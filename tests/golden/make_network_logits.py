#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes networks/*.json: the logits of networks that were written without this framework, of which every weight and running statistic comes from the
formula of README.md.

    make_network_logits.py             all of NETWORKS
    make_network_logits.py NAME ...    these

Also makes weights/densenet_bc10_4.safetensors, a file as PyTorch writes it of a wrapped network.

Needs PyTorch, torchvision, timm and safetensors; computes in float64, in evaluation. To add a network, add its name as `isda models` lists it to OF_FAMILIES,
or a line to NETWORKS: what builds it, and the extent of its images (small: the networks average over pixels at their end). Where the network calls its
tensors otherwise than `isda models NAME`, give `name_of`, from its names to ours.
"""
import json
import math
import os
import re
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


class Made:
    """How a network is made, and what it is shown."""

    def __init__(self, build, extent, made_with=f"torchvision {torchvision.__version__}", name_of=lambda name: name):
        self.build, self.extent, self.made_with, self.name_of = build, extent, f"PyTorch {torch.__version__}, {made_with}", name_of


# The families for 32x32 images: what a network of the family is called, and what builds it from the numbers of its name.
FAMILIES = {
    r"resnet(\d+)": cifar.ResNet,
    r"preact_resnet(\d+)": lambda depth: cifar.PreactResNet(depth, is_bottleneck=depth >= 164),
    r"se_resnet(\d+)": lambda depth: cifar.ResNet(depth, squeezes=True),
    r"wide_resnet(\d+)_(\d+)": cifar.WideResNet,
    r"se_wide_resnet(\d+)_(\d+)": lambda depth, k: cifar.WideResNet(depth, k, squeezes=True),
    r"resnext(\d+)_(\d+)x(\d+)": cifar.ResNeXt,
    r"densenet_bc(\d+)_(\d+)": cifar.densenet_bc,
    r"shake_shake(\d+)_2x(\d+)": cifar.ShakeShake,
    r"pyramidnet(\d+)_(\d+)": lambda depth, alpha: cifar.PyramidNet(depth, alpha, is_bottleneck=depth >= 164),
    r"shakedrop_pyramidnet(\d+)_(\d+)": lambda depth, alpha: cifar.PyramidNet(depth, alpha, is_bottleneck=depth >= 164, survival=0.5),
}


def of_family(name):
    """A network for 32x32 images, by its name."""
    for pattern, build in FAMILIES.items():
        if numbers := re.fullmatch(pattern, name):
            return lambda: build(*map(int, numbers.groups()))
    raise ValueError(f"{name} is of no family")


# Those for 32x32 images that `isda models` lists, and small members of their families.
OF_FAMILIES = """
    resnet8 resnet14 resnet20 resnet32 resnet44 resnet56 resnet110 resnet1202
    preact_resnet20 preact_resnet56 preact_resnet110 preact_resnet164 preact_resnet1001
    se_resnet20 se_resnet56 se_resnet110
    wide_resnet16_2 wide_resnet16_8 wide_resnet28_10 wide_resnet40_4
    se_wide_resnet16_2 se_wide_resnet16_8 se_wide_resnet28_10
    resnext20_4x4 resnext29_8x64 resnext29_16x64
    densenet_bc10_4 densenet_bc100_12 densenet_bc190_40 densenet_bc250_24
    shake_shake26_2x8 shake_shake26_2x32 shake_shake26_2x64 shake_shake26_2x96 shake_shake26_2x112
    pyramidnet20_20 pyramidnet164_20 pyramidnet110_48 pyramidnet110_270 pyramidnet272_200
    shakedrop_pyramidnet20_20 shakedrop_pyramidnet110_270 shakedrop_pyramidnet272_200
""".split()
NETWORKS = {name: Made(of_family(name), 16, "cifar_networks.py") for name in OF_FAMILIES} | {
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
    # What is compared must tell networks and images apart, and be within float32: the sums of a thousand layers grow.
    largest, between = logits.abs().max().item(), (logits[0] - logits[1]).abs().max().item()
    assert math.isfinite(largest) and 0.01 < largest < 1e30 and between > 1e-3 * largest, (name, largest, between)
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
