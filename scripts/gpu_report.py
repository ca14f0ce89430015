#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/gpu_check.sh found, as one JSON file and one page: which parts are green, tests, benches, the ladder, the peer's best, the training.

    scripts/gpu_report.py WORK --gpu NAME --output DIR [--data NAME]      WORK: the folder that gpu_check.sh filled
"""
import argparse
import csv
import datetime
import json
import os
import re
import subprocess
import sys


def read_json(path):
    """What is in the file; None where there is none, or only the beginning of one."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def parts_of(work):
    with open(os.path.join(work, "parts.tsv"), encoding="utf-8") as file:
        return [{"part": name, "status": int(status), "seconds": int(seconds)} for name, status, seconds in csv.reader(file, delimiter="\t")]


def tests_of(work):
    """Of each test program: how many ran, failed and were skipped, and the names of those that failed."""
    tests = {}
    for name in ("kernels", "core", "training"):
        report = read_json(os.path.join(work, f"{name}.json"))
        if report is None:
            continue
        cases = [(f"{suite['name']}.{case['name']}", case) for suite in report["testsuites"] for case in suite["testsuite"]]
        tests[name] = {
            "ran": sum(case.get("result") == "COMPLETED" for _, case in cases),
            "skipped": sum(case.get("result") == "SKIPPED" for _, case in cases),
            "failed": [full for full, case in cases if case.get("failures")],
        }
    return tests


# What a line of the bench says beside its time (bench/card/line.h), and the rates that its shares are of.
COUNTERS = ("GFLOP/s", "GB/s", "of_copy", "of_roofline", "vendor_us", "x_vendor", "tf32_us", "x_tf32", "together_us", "label")
RATES = ("card", "vendor", "copy GB/s", "launch us", "f32 TFLOP/s", "TF32 TFLOP/s", "bf16 TFLOP/s")


def benches_of(work):
    """The lines of both types, and a dictionary of the rates measured before them."""
    lines, rates = [], {}
    for kind in ("f32", "bf16"):
        report = read_json(os.path.join(work, f"bench_{kind}.json")) or {}
        rates.update({key: report["context"][key] for key in RATES if key in report.get("context", {})})
        for line in report.get("benchmarks", []):
            if not line.get("error_occurred"):
                lines.append({"type": kind, "name": re.sub("/manual_time$", "", line["name"]), "us": line["real_time"], **{key: line[key] for key in COUNTERS if key in line}})
    return lines, rates


def lines_of(work, name):
    """The JSON objects among the lines that a part printed; the last may have been cut off."""
    found = []
    try:
        with open(os.path.join(work, name), encoding="utf-8") as file:
            for line in file:
                try:
                    found.append(json.loads(line) if line.startswith("{") else {})
                except ValueError:
                    continue
    except OSError:
        pass
    return found


def peers_of(work):
    """What PyTorch's scripts printed, an object a configuration."""
    return [peer for peer in lines_of(work, "peers.log") if "mode" in peer]


def ladder_of(work):
    """What isda_ladder printed, an object a level and shape."""
    return [level for level in lines_of(work, "ladder.log") if level.get("what") == "isda_ladder"]


def training_of(work):
    try:
        with open(os.path.join(work, "run", "metrics.csv"), encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except OSError:
        return []


def text_of(*command):
    """What a program prints; nothing where it is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def page_of(report):
    lines = [f"# {report['gpu']}, {report['date']}", "", f"Commit {report['commit']}, driver {report['driver']}, {report['nvcc']}.", "", "    scripts/gpu_check.sh", ""]
    lines += ["| part | | seconds |", "|---|---|---|"]
    lines += [f"| {part['part']} | {'green' if part['status'] == 0 else 'status ' + str(part['status'])} | {part['seconds']} |" for part in report["parts"]]
    if report["tests"]:
        lines += ["", "| tests on the card | ran | skipped | failed |", "|---|---|---|---|"]
        for name, found in report["tests"].items():
            lines.append(f"| {name} | {found['ran']} | {found['skipped']} | {len(found['failed'])}{': ' + ', '.join(found['failed'][:8]) if found['failed'] else ''} |")
    if report["training"]:
        last = report["training"][-1]
        lines += ["", f"ResNet-32 with ISDA on {report['data']}, {len(report['training'])} epochs in f32: test error {100 - last['val_top1']:.2f} %, {last['images_per_second']:.0f} images/s in the last epoch."]
    for what, title in (("resnet_step", "PyTorch's training step of ResNet-32, batch 128:"), ("isda_head", "PyTorch's ISDA head, update of the statistics, loss and backward:")):
        peers = [peer for peer in report["peers"] if peer.get("what") == what]
        if peers:
            lines += ["", title, "", "| configuration | ms |", "|---|---|"]
        for line in sorted(peers, key=lambda peer: peer.get("median_ms", float("inf"))):
            words = ", ".join(str(line[key]) for key in ("N", "C", "A", "form", "precision", "memory_format", "mode") if key in line)
            lines.append(f"| {words} | {line['median_ms']:.3f} |" if "median_ms" in line else f"| {words} | {line.get('error', 'no figure')} |")
    if report["ladder"]:
        lines += ladder_table(report["ladder"])
    if report["bench"]:
        lines += bench_table(report["bench"], report["rates"])
    return "\n".join(lines) + "\n"


def ladder_table(ladder):
    """A row a level; x is the first level's time over this one's, where both ran."""
    lines = ["", "The ladder of ISDA's head (docs/isda_ladder.md), GB/s and GFLOP/s of what each level does itself:", "",
             "| N, C, A | level | us | GB/s | GFLOP/s | of roofline | x | launches | MB |", "|---|---|---|---|---|---|---|---|---|"]
    first = {}
    for level in ladder:
        shape, us = f"{level['N']}, {level['C']}, {level['A']}", level.get("us")
        if us is None:
            lines.append(f"| {shape} | {level['level']} | did not run: {level.get('error', 'no figure')} | - | - | - | - | - | {level['bytes'] * 1e-6:.1f} |")
            continue
        if level["level"].startswith("01"):
            first[shape] = us
        gain = f"{first[shape] / us:.2f}" if shape in first else "-"
        lines.append(f"| {shape} | {level['level']}: {level['idea']} | {us:.1f} | {level['bytes'] / us * 1e-3:.0f} | {level['flop'] / us * 1e-3:.0f} | {100 * level['of_roofline']:.0f} % "
                     f"| {gain} | {level['launches']} | {level['bytes'] * 1e-6:.1f} |")
    return lines


def bench_table(bench, rates):
    def share(line, key):
        return f"{100 * line[key]:.0f} %" if key in line else "-"

    def number(line, key, form):
        return format(line[key], form) if key in line else "-"

    lines = ["", "Each launch of every operation. `of copy`: its bytes a second over those of a large copy; `of roofline`: the time of a perfect kernel over its own; `x vendor`: the time of", "NVIDIA's library over ours (of the launches before it too, where the note says together), above 1 ours is faster; `x TF32`: the same, the library rounding f32 to TF32."]
    if rates:
        lines += ["", "Measured before them: " + ", ".join(f"{key} {value}" for key, value in rates.items()) + "."]
    wrong = [line for line in bench if "MISMATCH" in line.get("label", "")]
    if wrong:
        lines += ["", f"**{len(wrong)} of them have another result than the library, whose time is then left out.**"]
    lines += ["", "| launch | type | us | GB/s | of copy | GFLOP/s | of roofline | vendor us | x vendor | x TF32 | vendor |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for line in bench:
        note = re.sub(r"\bvendor: (- ?)?", "", line.get("label", "")).replace(" | ", "; ").replace("|", "/").replace("\n", " ")
        lines.append(f"| {line['name']} | {line['type']} | {line['us']:.1f} | {line.get('GB/s', 0):.0f} | {share(line, 'of_copy')} | {line.get('GFLOP/s', 0):.0f} | {share(line, 'of_roofline')} "
                     f"| {number(line, 'vendor_us', '.1f')} | {number(line, 'x_vendor', '.2f')} | {number(line, 'x_tf32', '.2f')} | {note or '-'} |")
    return lines


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work")
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--data", default="")
    options = parser.parse_args(arguments)
    bench, rates = benches_of(options.work)
    report = {
        "gpu": options.gpu,
        "date": datetime.date.today().isoformat(),
        "commit": text_of("git", "rev-parse", "--short", "HEAD") or "unknown",
        "driver": text_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0] or "unknown",
        "nvcc": (text_of("nvcc", "--version").splitlines() or ["nvcc unknown"])[-1],
        "data": options.data or "shapes",
        "parts": parts_of(options.work),
        "tests": tests_of(options.work),
        "rates": rates,
        "bench": bench,
        "ladder": ladder_of(options.work),
        "peers": peers_of(options.work),
        "training": training_of(options.work),
    }
    name = re.sub(r"[^a-z0-9]+", "-", options.gpu.lower()).strip("-") + "-" + report["date"]
    for suffix, text in ((".json", json.dumps(report, indent=1) + "\n"), (".md", page_of(report))):
        with open(os.path.join(options.output, name + suffix), "w", encoding="utf-8") as file:
            file.write(text)
    print(os.path.join(options.output, name + ".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
