#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ISDA head in PyTorch: update of the class statistics, loss, backward; a JSON line for each shape and form.

    python3 isda_head.py                                        the shapes of the CIFAR networks, in every form
    python3 isda_head.py --shape 128,100,640 --form ce dense    N,C,A
    python3 isda_head.py --check                                every form against tests/golden/isda_reference.py, in float64
    python3 isda_head.py --device cuda --mode eager compile cuda-graph

Forms: ce (linear layer + cross-entropy, the floor); dense (as the loss is usually written: tensors of N x C x A and N x A x A, and an
N x C x C product of which the diagonal is kept); dense_row_sum (the same without the N x C x C product); per_class (one A x A product for each class
that is present, gradient by hand: the best that is known to us in PyTorch). peak_extra_mb is the memory beyond inputs and statistics at the peak
of one step: on the CPU the rise of the resident set in a process of its own, on CUDA the allocator's figure.
"""
import argparse
import gc
import json
import os
import subprocess
import sys

import torch
from torch.nn import functional

import rounds

SHAPES = ["128,10,64", "128,100,64", "64,100,342", "128,10,640", "128,100,640", "128,100,1024"]


class ClassStatistics:
    """Count (C), mean (C,A) and covariance (C,A,A) or, diagonal, (C,A); changed in place, so a captured graph can replay the update."""

    def __init__(self, classes, width, covariance, device, dtype=torch.float32):
        shape = (classes, width, width) if covariance == "full" else (classes, width)
        self.count = torch.zeros(classes, device=device, dtype=dtype)
        self.mean = torch.zeros(classes, width, device=device, dtype=dtype)
        # NOTE: filled, not left as untouched zero pages, which would count as extra memory when the first step writes them.
        self.covariance = torch.empty(shape, device=device, dtype=dtype).fill_(0.0)


@torch.no_grad()
def update_dense(state, features, labels):
    """Every class against every sample: masks of N x C x A, products of A x N by N x A for all C classes."""
    N, C = len(labels), len(state.count)
    member = functional.one_hot(labels, C).to(features.dtype)
    amount = member.sum(0)
    divisor = amount.clamp(min=1)[:, None]
    batch_mean = (features[:, None, :] * member[:, :, None]).sum(0) / divisor
    centred = (features[:, None, :] - batch_mean[None, :, :]) * member[:, :, None]
    w = (amount / (state.count + amount).clamp(min=1))[:, None]
    shift = state.mean - batch_mean
    if state.covariance.dim() == 3:
        spread = torch.bmm(centred.permute(1, 2, 0), centred.permute(1, 0, 2)) / divisor[:, :, None]
        between, w_spread = shift[:, :, None] * shift[:, None, :], w[:, :, None]
    else:
        spread, between, w_spread = (centred * centred).sum(0) / divisor, shift * shift, w
    state.covariance.mul_(1 - w_spread).add_(spread * w_spread).add_(between * (w_spread * (1 - w_spread)))
    state.mean.mul_(1 - w).add_(batch_mean * w)
    state.count.add_(amount)


def dense(features, labels, weight, bias, state, ratio):
    update_dense(state, features, labels)
    N = len(labels)
    D = weight.expand(N, *weight.shape) - weight[labels][:, None, :]
    S = state.covariance[labels]
    if S.dim() == 3:
        quadratic = torch.diagonal(torch.bmm(torch.bmm(D, S), D.transpose(1, 2)), dim1=1, dim2=2)
    else:
        quadratic = torch.diagonal(torch.bmm(D * S[:, None, :], D.transpose(1, 2)), dim1=1, dim2=2)
    return functional.cross_entropy(functional.linear(features, weight, bias) + ratio / 2 * quadratic, labels)


def dense_row_sum(features, labels, weight, bias, state, ratio):
    update_dense(state, features, labels)
    D = weight[None, :, :] - weight[labels][:, None, :]
    S = state.covariance[labels]
    quadratic = ((torch.bmm(D, S) if S.dim() == 3 else D * S[:, None, :]) * D).sum(2)
    return functional.cross_entropy(functional.linear(features, weight, bias) + ratio / 2 * quadratic, labels)


@torch.no_grad()
def update_per_class(state, features, labels, present):
    """Only the classes that are present: S <- (1-w) S + Z^T Z, the rows of Z being the samples about their mean and one for the shift."""
    for c in present:
        batch = features[labels == c]
        m = len(batch)
        w = m / (float(state.count[c]) + m)
        batch_mean = batch.mean(0)
        shift = (state.mean[c] - batch_mean)[None]
        Z = torch.cat([(batch - batch_mean) * (w / m) ** 0.5, shift * (w * (1 - w)) ** 0.5])
        if state.covariance.dim() == 3:
            state.covariance[c].addmm_(Z.T, Z, beta=1 - w)
        else:
            state.covariance[c].mul_(1 - w).add_((Z * Z).sum(0))
        state.mean[c].mul_(1 - w).add_(batch_mean, alpha=w)
        state.count[c] += m


class Correction(torch.autograd.Function):
    """Q[k,j] = D_c[j] S_c D_c[j] for the k-th present class c, D_c = W - 1 w_c; keeps U_c = D_c S_c for the backward pass."""

    @staticmethod
    def forward(ctx, weight, covariance, present):
        Q = weight.new_empty(len(present), len(weight))
        U = weight.new_empty(len(present), *weight.shape)
        for k, c in enumerate(present):
            D = weight - weight[c]
            if covariance.dim() == 3:
                torch.mm(D, covariance[c], out=U[k])
            else:
                torch.mul(D, covariance[c], out=U[k])
            Q[k] = (U[k] * D).sum(1)
        ctx.save_for_backward(U)
        ctx.present = present
        return Q

    @staticmethod
    def backward(ctx, dQ):
        (U,) = ctx.saved_tensors
        dW = 2 * torch.einsum("kj,kja->ja", dQ, U)
        dW.index_add_(0, torch.tensor(ctx.present, device=U.device), torch.einsum("kj,kja->ka", dQ, U), alpha=-2)
        return dW, None, None


def per_class(features, labels, weight, bias, state, ratio):
    present, row = torch.unique(labels, return_inverse=True)
    present = present.tolist()
    update_per_class(state, features.detach(), labels, present)
    Q = Correction.apply(weight, state.covariance, present)
    return functional.cross_entropy(functional.linear(features, weight, bias) + ratio / 2 * Q[row], labels)


def ce(features, labels, weight, bias, _state, _ratio):
    return functional.cross_entropy(functional.linear(features, weight, bias), labels)


ISDA_FORMS = {"dense": dense, "dense_row_sum": dense_row_sum, "per_class": per_class}
FORMS = {"ce": ce, **ISDA_FORMS}


def build_step(N, C, A, form, covariance, device, mode, dtype=torch.float32):
    """Update, loss and backward on fixed inputs as a function without arguments."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N, A, generator=generator, dtype=dtype).to(device).requires_grad_()
    weight = (torch.randn(C, A, generator=generator, dtype=dtype) / A**0.5).to(device).requires_grad_()
    bias = torch.zeros(C, device=device, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, C, (N,), generator=generator).to(device)
    state = ClassStatistics(C, A, covariance, device, dtype) if form != "ce" else None
    head = rounds.compiled(FORMS[form], mode)

    def step():
        features.grad = weight.grad = bias.grad = None
        loss = head(features, labels, weight, bias, state, 0.25)
        loss.backward()

    return rounds.captured(step, device) if mode.endswith("cuda-graph") else step


def resident(field):
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":")) / 1024


def peak_extra_mb(N, C, A, form, covariance, device):
    """Memory of one eager step beyond what lay there before it, in MB (2^20 bytes)."""
    build_step(4, 3, 5, form, covariance, device, "eager")()  # loads what is loaded at first use
    step = build_step(N, C, A, form, covariance, device, "eager")
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak of the resident set starts anew
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def memory_of(shape, form, options):
    """peak_extra_mb in a process of its own, whose peak no other configuration has raised."""
    arguments = ["--memory-only", "--shape", shape, "--form", form, "--covariance", options.covariance]
    arguments += ["--device", options.device, "--threads", str(options.threads)]
    done = subprocess.run([sys.executable, os.path.abspath(__file__), *arguments], capture_output=True, text=True, check=False)
    return round(float(done.stdout), 1) if done.returncode == 0 else None


def check():
    """Every form over three steps against the independent reference; exits with 1 if one disagrees."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden"))
    import isda_reference

    good = True
    for covariance in ("full", "diagonal"):
        for name, form in ISDA_FORMS.items():
            C, A, worst = 7, 5, 0.0
            generator = torch.Generator().manual_seed(1)
            state = ClassStatistics(C, A, covariance, "cpu", torch.float64)
            history = isda_reference.SampleHistory(C, A)
            for N in (6, 1, 9):
                features, weight = (torch.randn(n, A, generator=generator, dtype=torch.float64).requires_grad_() for n in (N, C))
                bias = torch.randn(C, generator=generator, dtype=torch.float64).requires_grad_()
                labels = torch.randint(0, C, (N,), generator=generator)
                loss = form(features, labels, weight, bias, state, 0.8)
                loss.backward()
                F, W, b = (value.detach().numpy() for value in (features, weight, bias))
                history.append(F, labels.numpy())
                count, mean, spread = history.statistics(covariance)
                expected = isda_reference.loss_and_gradients(F, labels.numpy(), W, b, spread, 0.8)
                pairs = [(loss.detach(), expected["loss"]), (features.grad, expected["grad_features"]), (weight.grad, expected["grad_weight"])]
                pairs += [(bias.grad, expected["grad_bias"]), (state.count, count), (state.mean, mean), (state.covariance, spread)]
                worst = max(worst, *(isda_reference.scaled_error(got.numpy(), value) for got, value in pairs))
            good &= worst <= 1e-12
            print(f"{covariance} {name}: largest scaled error {worst:.1e} (at most 1e-12)")
    sys.exit(0 if good else 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", default=SHAPES, metavar="N,C,A")
    parser.add_argument("--form", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--covariance", default="full", choices=["full", "diagonal"])
    parser.add_argument("--mode", nargs="+", default=["eager"], choices=rounds.MODES)
    parser.add_argument("--no-memory", action="store_true", help="leave peak_extra_mb out: it starts a process for each line")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true")
    rounds.add_arguments(parser)
    options = parser.parse_args()
    rounds.prepare(options)
    if options.check:
        check()
    if options.serve and len(options.shape) != 1:
        parser.error("--serve takes one --shape: compare.py compares one thing")
    for shape in options.shape:
        N, C, A = (int(number) for number in shape.split(","))
        if options.memory_only:
            print(peak_extra_mb(N, C, A, options.form[0], options.covariance, options.device))
            return
        configurations = []
        for form in options.form:
            memory = None if options.no_memory or options.serve else memory_of(shape, form, options)
            for mode in options.mode:
                description = {
                    "what": "isda_head", "peer": rounds.peer_name(), "device": options.device, "threads": options.threads,
                    "N": N, "C": C, "A": A, "form": form, "covariance": options.covariance, "mode": mode,
                    "covariance_mb": round((C * A * A if options.covariance == "full" else C * A) * 4 / 2**20, 1), "peak_extra_mb": memory,
                }  # fmt: skip
                build = lambda c=(form, mode): build_step(N, C, A, c[0], options.covariance, options.device, c[1])  # noqa: E731
                configurations.append(rounds.Configuration(description, build))
        rounds.measure(configurations, options)


if __name__ == "__main__":
    main()
