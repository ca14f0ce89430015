#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the smallest sensible network of every family for an epoch or more on a part of a data set, and prints what became of the loss, as Markdown.

    scripts/train_families.py --program build/release/isda --dataset cifar10 --data-dir DIR --output runs/families

docs/results/families.md is made of it.

A family that `isda models` lists and this script does not is an error, so that none is forgotten. Exit status 1 when a run fails or its loss does not fall.
"""
import argparse
import csv
import os
import re
import statistics
import subprocess
import sys

# One network a family. Those for 224x224 images take smaller ones too: they average over whatever pixels are left at their end.
MEMBERS = {
    "resnet": "resnet20",
    "preact_resnet": "preact_resnet20",
    "se_resnet": "se_resnet20",
    "wide_resnet": "wide_resnet16_2",
    "se_wide_resnet": "se_wide_resnet16_2",
    "resnext": "resnext29_2x16",
    "densenet_bc": "densenet_bc40_12",
    "shake_shake": "shake_shake26_2x16",
    "pyramidnet": "pyramidnet20_48",
    "shakedrop_pyramidnet": "shakedrop_pyramidnet20_48",
    "imagenet_resnet": "imagenet_resnet18",
    "imagenet_resnext": "imagenet_resnext50_32x4d",
    "imagenet_densenet": "imagenet_densenet121",
}
LEARNING_RATE = 0.02
# NOTE: of a 32x32 image one pixel is left in these, and nothing is averaged: their features are long, and with them a step of the last layer.
LEARNING_RATES = {"imagenet_resnext": 0.001, "imagenet_densenet": 0.005}


def family_of(name):
    """The letters of a name: wide_resnet of wide_resnet28_10, shakedrop_pyramidnet of shakedrop_pyramidnet110_270."""
    return re.sub(r"_?\d[\dx_d]*(?=_|$)", "", name)


def forgotten(listing):
    """Families of `isda models` that have no member here."""
    names = [line.split()[0] for line in listing.splitlines()[1:] if line.strip()]
    return sorted({family_of(name) for name in names} - set(MEMBERS))


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def train(arguments, family, model):
    """The row of a model: a dictionary, or None where the run failed."""
    run = os.path.join(arguments.output, family)
    rate = LEARNING_RATES.get(family, LEARNING_RATE)
    command = [arguments.program, "train", "--dataset", arguments.dataset, "--data-dir", arguments.data_dir, "--model", model, "--loss", arguments.loss,
               "--epochs", str(arguments.epochs), "--train-limit", str(arguments.images), "--batch-size", str(arguments.batch_size), "--lr", str(rate),
               "--schedule", "constant", "--validation", "200", "--log-steps", "1", "--device", arguments.device, "--output", run]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print(f"{model}: exit status {result.returncode}: {result.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    losses = [float(row["loss"]) for row in read(os.path.join(run, "steps.csv"))]
    last = read(os.path.join(run, "metrics.csv"))[-1]
    return {"model": model, "rate": rate, "train": float(last["train_top1"]), "val": float(last["val_top1"]), "speed": float(last["images_per_second"]),
            **ends_of(losses)}


def ends_of(losses):
    """The mean losses of the first and of the last tenth of the steps."""
    tenth = max(1, len(losses) // 10)
    return {"first": statistics.fmean(losses[:tenth]), "last": statistics.fmean(losses[-tenth:])}


def falls(row):
    """Whether a row is there and its loss fell. A NaN does not."""
    return row is not None and row["last"] < row["first"]


def table(rows, what):
    lines = [f"# Every family, {what}", "",
             "| network | learning rate | loss, first tenth of the steps | last tenth | training accuracy % | accuracy on 200 held-out images % | images/s |",
             "|---|---|---|---|---|---|---|"]
    lines += [f"| {row['model']} | {row['rate']:g} | {row['first']:.3f} | {row['last']:.3f} | {row['train']:.1f} | {row['val']:.1f} | {row['speed']:.0f} |"
              for row in rows]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/isda")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--output", default="runs/families", help="folder for the runs")
    parser.add_argument("--loss", default="isda")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--families", nargs="*", help="only these")
    arguments = parser.parse_args()

    listing = subprocess.run([arguments.program, "models"], capture_output=True, text=True, check=True).stdout
    missing = forgotten(listing)
    if missing:
        sys.exit(f"families of `isda models` without a network in {os.path.relpath(__file__)}: {', '.join(missing)}")
    unknown = set(arguments.families or []) - set(MEMBERS)
    if unknown:
        parser.error(f"--families {' '.join(sorted(unknown))}: there are {' '.join(MEMBERS)}")

    rows, failures = [], 0
    for family, model in MEMBERS.items():
        if arguments.families and family not in arguments.families:
            continue
        row = train(arguments, family, model)
        failures += not falls(row)
        if row:
            rows.append(row)
            print(f"{model}: {row['first']:.3f} -> {row['last']:.3f}{'' if falls(row) else '  DOES NOT FALL'}", file=sys.stderr, flush=True)
    print(table(rows, f"{arguments.epochs} epoch{'s' * (arguments.epochs != 1)} of {arguments.images} images of {arguments.dataset}, loss {arguments.loss}"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
