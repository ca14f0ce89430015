#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws runs of `isda train` side by side: test error and test loss over the epochs. Needs matplotlib.

    scripts/plot_runs.py runs/resnet20-ce runs/resnet20-isda --output curves.svg

A RUN is a run's folder (or any folder with a metrics.csv); it is labelled with its folder's name.
"""
import argparse
import csv
import os
import sys


def read(run):
    """The columns of a run's metrics.csv, as numbers."""
    with open(os.path.join(run, "metrics.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{run}/metrics.csv has no epoch yet")
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def draw(runs, output):
    """runs: label -> columns"""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # NOTE: without a date and with a fixed salt the same runs give the same bytes.
    matplotlib.rcParams.update({"svg.hashsalt": "isda", "axes.spines.top": False, "axes.spines.right": False})
    figure, (error, loss) = pyplot.subplots(1, 2, figsize=(10, 3.6))
    for label, columns in runs.items():
        error.plot(columns["epoch"], [100 - accuracy for accuracy in columns["val_top1"]], label=label, linewidth=1.5)
        loss.plot(columns["epoch"], columns["val_loss"], label=label, linewidth=1.5)
    for axes, name in ((error, "test error, %"), (loss, "test cross-entropy")):
        axes.set(xlabel="epoch", ylabel=name, yscale="log")
        # NOTE: without this an axis shorter than a decade reads 3 x 10^1.
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(which="both", alpha=0.25)
    error.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(output, metadata={"Date": None} if output.endswith(".svg") else None)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--output", required=True, help="an .svg, .png or .pdf")
    options = parser.parse_args(arguments)
    try:
        draw({os.path.basename(os.path.normpath(run)): read(run) for run in options.runs}, options.output)
    except (OSError, ValueError, KeyError) as error:
        print(f"plot_runs: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"plot_runs: {error}; install it with: pip install matplotlib", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
