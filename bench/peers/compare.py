#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times this project against the PyTorch peer in alternating short runs, and reports how many times faster this project is.

    python3 bench/peers/compare.py --ours "build/bench/isda_step --depth 32 --steps 5" --pattern 'median_ms=([0-9.]+)' \\
        --peer "resnet_step.py --depth 32 --memory-format nchw channels_last" --rounds 10

Each round runs every configuration of the peer once (the peer stays loaded and sleeps between its rounds) and our command once. Every match of
--pattern in our command's output is one sample: its group 1, in milliseconds a step unless --unit says otherwise (--unit images_per_second --batch N).
Printed, as lines of JSON: minimum and median of each side, and for each configuration of the peer the ratio of the medians, of the minima, and the median
of the ratios of each round (peer / ours: above 1 we are faster). With --at-least R the exit status is 1 when the ratio of medians to the peer's
best configuration is below R.
"""
import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys


class Peer:
    """The peer's script under --serve: loaded and warmed up once, then one round at a time."""

    def __init__(self, command):
        script, *arguments = shlex.split(command)
        if not os.path.exists(script):
            script = os.path.join(os.path.dirname(os.path.abspath(__file__)), script)
        self.process = subprocess.Popen(
            [sys.executable, script, *arguments, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.configurations = self.read()["configurations"]
        if not self.configurations:
            sys.exit(f"no configuration of the peer works: {command}")
        self.samples = [[] for _ in self.configurations]
        self.round_medians = [[] for _ in self.configurations]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the peer stopped before it answered; its own message stands above")
        return json.loads(line)

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        for index, milliseconds in enumerate(self.read()["milliseconds"]):
            self.samples[index] += milliseconds
            self.round_medians[index].append(statistics.median(milliseconds))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run_ours(options):
    """The samples, in milliseconds, of one run of our command."""
    done = subprocess.run(shlex.split(options.ours), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"our command failed with status {done.returncode}: {options.ours}\n{done.stderr.strip()}")
    values = [float(match.group(1)) for match in re.finditer(options.pattern, done.stdout + done.stderr)]
    if not values:
        sys.exit(f"--pattern {options.pattern!r} matches nothing in the output of: {options.ours}\n{(done.stdout + done.stderr)[-1000:]}")
    if options.unit == "images_per_second":
        return [1e3 * options.batch / value for value in values]
    return [value * {"us": 1e-3, "ms": 1.0, "s": 1e3}[options.unit] for value in values]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, help="our command line")
    parser.add_argument("--pattern", default=r"median_ms[=\":\s]+([0-9.]+)", help="regular expression; group 1 is a sample")
    parser.add_argument("--unit", default="ms", choices=["us", "ms", "s", "images_per_second"], help="of a sample")
    parser.add_argument("--batch", type=int, default=128, help="images a step, for --unit images_per_second")
    parser.add_argument("--peer", default="resnet_step.py --depth 32", help="script of this folder with its arguments")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--at-least", type=float)
    options = parser.parse_args()
    peer = Peer(options.peer)
    ours, our_rounds = [], []
    run_ours(options)  # warms the file cache; not counted
    for _ in range(options.rounds):
        peer.round()
        samples = run_ours(options)
        ours += samples
        our_rounds.append(statistics.median(samples))
    peer.close()
    print(json.dumps({"ours": options.ours, "samples": len(ours), "min_ms": round(min(ours), 3), "median_ms": round(statistics.median(ours), 3)}))
    ratios = []
    for configuration, samples, medians in zip(peer.configurations, peer.samples, peer.round_medians):
        ratios.append(statistics.median(samples) / statistics.median(ours))
        print(json.dumps({
            **configuration, "samples": len(samples), "min_ms": round(min(samples), 3), "median_ms": round(statistics.median(samples), 3),
            "ratio_of_medians": round(ratios[-1], 3), "ratio_of_minima": round(min(samples) / min(ours), 3),
            "median_of_round_ratios": round(statistics.median(theirs / mine for theirs, mine in zip(medians, our_rounds)), 3),
        }))  # fmt: skip
    ratio = min(ratios)
    minima = min(min(samples) for samples in peer.samples) / min(ours)
    print(json.dumps({"best_peer_ratio_of_medians": round(ratio, 3), "best_peer_ratio_of_minima": round(minima, 3)}))
    return 1 if options.at_least is not None and not ratio >= options.at_least else 0


if __name__ == "__main__":
    sys.exit(main())
