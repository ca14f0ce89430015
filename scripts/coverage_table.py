#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up gcovr's JSON summary by floor.

    scripts/coverage_table.py build/coverage/summary.json --at-least 90 kernels core

Prints a table of every floor and its least covered files; exit status 1 when a floor named is missing or covered below the threshold.
"""
import argparse
import json
import sys

FILES_SHOWN = 8


def floors_of(summary):
    """floor -> (lines covered, lines)"""
    floors = {}
    for file in summary["files"]:
        floor = file["filename"].split("/")[0]
        covered, total = floors.get(floor, (0, 0))
        floors[floor] = (covered + file["line_covered"], total + file["line_total"])
    return floors


def percent(covered, total):
    # NOTE: rounded down, so that 89.99 never reads 90.0.
    return covered * 1000 // total / 10 if total else 0.0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("summary")
    parser.add_argument("--at-least", type=float, default=90)
    parser.add_argument("floors", nargs="+")
    options = parser.parse_args(arguments)
    with open(options.summary, encoding="utf-8") as file:
        summary = json.load(file)

    floors = floors_of(summary)
    print(f"{'floor':12} {'lines':>7} {'covered':>8} {'%':>6}")
    for floor, (covered, total) in sorted(floors.items()):
        print(f"{floor:12} {total:7} {covered:8} {percent(covered, total):6.1f}")
    print("\nleast covered files")
    for file in sorted(summary["files"], key=lambda file: file["line_covered"] - file["line_total"])[:FILES_SHOWN]:
        if file["line_covered"] < file["line_total"]:
            print(f"{percent(file['line_covered'], file['line_total']):6.1f} %  {file['line_total'] - file['line_covered']:4} lines missed  {file['filename']}")

    low = [floor for floor in options.floors if percent(*floors.get(floor, (0, 0))) < options.at_least]
    for floor in low:
        print(f"coverage: {floor} has {percent(*floors.get(floor, (0, 0))):.1f} %, expected at least {options.at_least:g} %", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
