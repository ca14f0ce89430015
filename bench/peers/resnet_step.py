#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The training step of a CIFAR ResNet in PyTorch: forward, loss, backward, SGD with Nesterov momentum; a JSON line a configuration.

    python3 resnet_step.py --depth 20 32 110
    python3 resnet_step.py --device cuda --precision bf16 --memory-format channels_last --mode eager compile cuda-graph compile-cuda-graph

Every combination of depth, memory format, precision and mode is timed, in alternating rounds. The images lie on the device; data loading
is not in the step. peak_resident_mb is of the process: meaningful when it ran one configuration.
"""
import argparse
import itertools
import resource

import torch
from torch.nn import functional

import isda_head
import rounds
from cifar_resnet import CifarResNet


def build_step(options, depth, memory_format, precision, mode):
    """One whole training step as a function without arguments."""
    torch.manual_seed(0)
    layout = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    net = CifarResNet(depth, options.classes).to(options.device).to(memory_format=layout)
    net.train()
    images = torch.randn(options.batch, 3, 32, 32, device=options.device).to(memory_format=layout)
    labels = torch.randint(0, options.classes, (options.batch,), device=options.device)
    how = {"fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}[options.optimizer]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4, **how)
    state = isda_head.ClassStatistics(options.classes, net.feature_width, "full", options.device) if options.loss != "ce" else None

    def loss_of(x):
        with torch.autocast(options.device, dtype=torch.bfloat16, enabled=precision == "bf16"):
            features = net.features(x)
        features = features.float()
        if state is None:
            return functional.cross_entropy(net.fc(features), labels)
        return isda_head.FORMS[options.loss](features, labels, net.fc.weight, net.fc.bias, state, 0.25)

    loss_of = rounds.compiled(loss_of, mode)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(images).backward()
        optimizer.step()

    return rounds.captured(step, options.device) if mode.endswith("cuda-graph") else step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, nargs="+", default=[32])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--memory-format", nargs="+", default=["nchw", "channels_last"], choices=["nchw", "channels_last"])
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "bf16"])
    parser.add_argument("--mode", nargs="+", default=["eager"], choices=rounds.MODES)
    parser.add_argument("--optimizer", default="fused", choices=["fused", "foreach", "loop"])
    parser.add_argument("--loss", default="ce", choices=["ce", *isda_head.ISDA_FORMS], help="ISDA full covariance in one of its forms")
    rounds.add_arguments(parser)
    options = parser.parse_args()
    rounds.prepare(options)
    configurations = []
    # NOTE: by mode first, so that those which compile for minutes come last.
    for mode, depth, memory_format, precision in itertools.product(options.mode, options.depth, options.memory_format, options.precision):
        description = {
            "what": "resnet_step", "peer": rounds.peer_name(), "device": options.device, "threads": options.threads, "depth": depth,
            "batch": options.batch, "classes": options.classes, "memory_format": memory_format, "precision": precision, "mode": mode,
            "optimizer": options.optimizer, "loss": options.loss,
        }  # fmt: skip
        configurations.append(
            rounds.Configuration(description, lambda c=(depth, memory_format, precision, mode): build_step(options, *c), options.batch)
        )
    rounds.measure(configurations, options)
    if not options.serve:
        print(f'{{"peak_resident_mb": {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}}}')


if __name__ == "__main__":
    main()
