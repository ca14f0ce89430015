#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden training curves: a CIFAR ResNet-8 trained for a few steps in PyTorch, float64. README.md says what is in the files.

    python3 tests/golden/make_training_curves.py                 writes curves/*.json beside this file
    python3 tests/golden/make_training_curves.py --sensitivity   writes nothing; prints how far training strays from the curves when every
                                                                 weight starts moved by 1e-15 .. 1e-6 of itself

Needs PyTorch and numpy. The ISDA loss is the dense per-sample form, differentiated by autograd, with class statistics computed afresh from
all features seen so far, so nothing here shares a formula with the framework's per-class form and running update.
"""
import argparse
import json
import os
import sys

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "bench", "peers")]
import formula
import isda_reference
from cifar_resnet import CifarResNet

SIZES = {"small": {"batch": 6, "steps": 6}, "batch32": {"batch": 32, "steps": 20}}
LOSSES = {"ce": None, "isda_full": "full", "isda_diagonal": "diagonal"}
OPTIMIZER = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
LAMBDA_0 = 7.5
FLOAT32_RUNS = 8  # float32 runs from weights moved by about one rounding: their spread is what float32 may stray
ROUNDING = 2.0**-24


class ClassStatistics(isda_reference.SampleHistory):
    def covariance_tensor(self, covariance, dtype):
        return torch.from_numpy(self.statistics(covariance)[2]).to(dtype)


def augmented_logits(features, labels, weight, bias, covariance, ratio):
    """The dense form: for every sample its own D (N,C,A) and its own copy of the covariance of its class."""
    D = weight[None, :, :] - weight[labels][:, None, :]
    S = covariance[labels]
    quadratic = torch.einsum("nja,nab,njb->nj", D, S, D) if S.dim() == 3 else torch.einsum("nja,na->nj", D * D, S)
    return features @ weight.T + bias + ratio / 2 * quadratic


def network(dtype, nudge, seed):
    """ResNet-8 with the weights of the formula; `nudge` moves each by up to that fraction of itself."""
    net = CifarResNet(8, formula.CLASSES)
    for stream, (name, parameter) in enumerate(net.named_parameters(), start=1):
        values = torch.from_numpy(formula.parameter(stream, name, tuple(parameter.shape))).double()
        generator = torch.Generator().manual_seed(1000 * seed + stream)
        values *= 1 + nudge * (2 * torch.rand(values.shape, generator=generator, dtype=torch.float64) - 1)
        parameter.data = values.to(dtype)
    return net.to(dtype)


def checksums(tensors):
    return {name: formula.checksum(value.detach().numpy()) for name, value in tensors}


def train(size, loss, dtype, nudge=0.0, seed=0):
    """Trains and returns what a curve's file holds."""
    batch, steps, covariance = SIZES[size]["batch"], SIZES[size]["steps"], LOSSES[loss]
    net = network(dtype, nudge, seed)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), **OPTIMIZER)
    statistics = ClassStatistics(formula.CLASSES, net.feature_width)
    initial = checksums(net.named_parameters())
    rows, first_gradients, features_of_first_step = [], None, None
    for step in range(steps):
        labels = torch.from_numpy(formula.labels(step * batch, batch))
        images = torch.from_numpy(formula.images(step * batch, batch)).to(dtype).permute(0, 3, 1, 2)
        ratio = LAMBDA_0 * step / steps if covariance else 0.0
        features = net.features(images)
        logits = z = net.fc(features)
        if covariance:
            statistics.append(features.detach().numpy(), labels.numpy())
            S = statistics.covariance_tensor(covariance, dtype)
            z = augmented_logits(features, labels, net.fc.weight, net.fc.bias, S, ratio)
            check_gradient(features, labels, net.fc, S, ratio, dtype)
        loss_value = torch.nn.functional.cross_entropy(z, labels)
        optimizer.zero_grad()
        loss_value.backward()
        if step == 0:
            features_of_first_step = formula.checksum(features.detach().numpy())
            first_gradients = checksums((name, parameter.grad) for name, parameter in net.named_parameters())
        optimizer.step()
        rows.append({"step": step, "ratio": ratio, "loss": loss_value.item(), "top1": int((logits.argmax(1) == labels).sum())})
    final = checksums((name, value) for name, value in net.state_dict().items() if "num_batches_tracked" not in name)
    curve = {
        "size": size, "loss": loss, "batch": batch, "steps": steps, "lambda_0": LAMBDA_0 if covariance else 0.0, "optimizer": OPTIMIZER,
        "batch_norm": {"momentum": net.bn1.momentum, "epsilon": net.bn1.eps}, "made_with": f"PyTorch {torch.__version__.split('+')[0]}, float64",
        "images_of_first_step": formula.checksum(formula.images(0, batch)),
        "labels": formula.labels(0, batch * steps).tolist(),
        "initial": initial, "features_of_first_step": features_of_first_step, "gradients_of_first_step": first_gradients,
        "curve": rows, "final": final,
    }
    if covariance:
        count, mean, S = statistics.statistics(covariance)
        curve["class_statistics"] = {"count": count.astype(int).tolist(), "mean": formula.checksum(mean), "covariance": formula.checksum(S)}
    return curve


def check_gradient(features, labels, fc, S, ratio, dtype):
    """Autograd of the dense form must equal the formulas of isda_reference.py."""
    if dtype != torch.float64:
        return
    F, W, b = (value.detach().clone().requires_grad_() for value in (features, fc.weight, fc.bias))
    torch.nn.functional.cross_entropy(augmented_logits(F, labels, W, b, S, ratio), labels).backward()
    expected = isda_reference.loss_and_gradients(*(v.detach().numpy() for v in (F, labels, W, b, S)), ratio)
    for name, value in (("grad_features", F.grad), ("grad_weight", W.grad), ("grad_bias", b.grad)):
        error = isda_reference.scaled_error(value.numpy(), expected[name])
        if not error <= 1e-12:
            raise SystemExit(f"autograd and the formula disagree on {name}: {error:.1e}")


def parameter_table():
    """Name, stream, shape, offset and scale of every parameter."""
    rows = []
    for stream, (name, parameter) in enumerate(CifarResNet(8, formula.CLASSES).named_parameters(), start=1):
        offset, scale = formula.parameter_rule(name, tuple(parameter.shape))
        rows.append({"name": name, "stream": stream, "shape": list(parameter.shape), "offset": offset, "scale": scale})
    return rows


def formula_examples():
    """A few values by which another implementation of the formula finds its first mistake."""
    return {
        "bits": [{"stream": s, "index": i, "hex": f"{int(formula.bits(s, i)):016x}"} for s, i in ((1, 0), (1, 1), (2, 0), (1004, 123456))],
        "unit": [{"stream": s, "index": i, "value": float(formula.unit(s, i))} for s, i in ((1, 0), (1, 1), (2, 0), (1004, 123456))],
        "pixels_of_image_0": formula.pixels(0, 1).ravel()[:12].tolist(),
        "labels": formula.labels(0, 12).tolist(),
    }


def one_line_per_entry(value, depth=0):
    """JSON with a line per tensor or step, so that a change reads well as a diff."""
    if isinstance(value, (dict, list)) and value and depth < 2 and any(isinstance(v, (dict, list)) for v in (value.values() if isinstance(value, dict) else value)):
        inner = ",\n".join(
            "  " * (depth + 1) + (json.dumps(key) + ": " if isinstance(value, dict) else "") + one_line_per_entry(entry, depth + 1)
            for key, entry in (value.items() if isinstance(value, dict) else enumerate(value))
        )
        brackets = "{}" if isinstance(value, dict) else "[]"
        return f"{brackets[0]}\n{inner}\n{'  ' * depth}{brackets[1]}"
    return json.dumps(value)


def write(name, content):
    folder = os.path.join(HERE, "curves")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".json"), "w", encoding="ascii") as file:
        file.write(one_line_per_entry(content) + "\n")


def stray(curve, other):
    """(difference of each step's loss, largest error of a final tensor's checksums, scaled as README.md says)."""
    losses = [abs(a["loss"] - b["loss"]) for a, b in zip(curve["curve"], other["curve"])]
    final = 0.0
    for name, expected in curve["final"].items():
        got, n, q = other["final"][name], expected["elements"], expected["sum_of_squares"]
        final = max(final, abs(got["sum_of_squares"] - q) / q, *(abs(got[k] - expected[k]) / numpy.sqrt(n * q) for k in ("sum", "dot")))
    return losses, float(final)


def add_float32(curve, size, loss):
    """Adds to each step what float32 gives, and how far a float32 run may stray from float64 by that step."""
    runs = [train(size, loss, torch.float32, ROUNDING * (seed > 0), seed) for seed in range(FLOAT32_RUNS)]
    strays = [stray(curve, run) for run in runs]
    furthest = 0.0
    for step, row in enumerate(curve["curve"]):
        furthest = max(furthest, *(losses[step] for losses, _ in strays))
        row["loss_float32"], row["top1_float32"] = runs[0]["curve"][step]["loss"], runs[0]["curve"][step]["top1"]
        row["spread_float32"] = float(f"{furthest:.1e}")
    curve["final_spread_float32"] = float(f"{max(final for _, final in strays):.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sensitivity", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.sensitivity:
        write("formula", {"parameters": parameter_table(), "examples": formula_examples()})
    for size in SIZES:
        for loss in LOSSES:
            curve = train(size, loss, torch.float64)
            if options.sensitivity:
                for nudge in (1e-15, 1e-12, 1e-9, 1e-7, 1e-6):
                    losses, final = stray(curve, train(size, loss, torch.float64, nudge))
                    print(f"{size} {loss}, moved by {nudge:.0e}: a loss strays by {max(losses):.1e}, a final tensor by {final:.1e}", flush=True)
                continue
            add_float32(curve, size, loss)
            write(f"{size}_{loss}", curve)
            print(f"{size} {loss}: " + " ".join(f"{row['loss']:.4f}/{row['top1']}" for row in curve["curve"]), flush=True)


if __name__ == "__main__":
    main()
