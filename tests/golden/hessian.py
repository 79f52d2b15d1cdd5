#!/usr/bin/env python3
"""Golden Hessians in f64 from torch.func.hessian, for tests/hessian/golden.rs. Writes hessian.json beside itself.

    python3 tests/golden/hessian.py

Parameters and rows come from formulas in whole numbers over powers of two, which both sides compute exactly. The parameter vector is
W1 ([in, out], row-major), b1, then gamma1, beta1 where there is batch norm, slope1 where the activation learns one, W2, ...
"""
import json
from pathlib import Path

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
ROWS = 6


def parameter(i):
    return ((37 * i + 11 * i * i) % 101 - 50) / 64


def row(i, j):
    return ((7 * i + 13 * j + 3 * i * j) % 41 - 20) / 16


ACTIVATIONS = {
    "relu": torch.relu,
    "leaky-relu:0.1": lambda x: F.leaky_relu(x, 0.1),
    "elu:0.7": lambda x: F.elu(x, 0.7),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "swish:1.5": lambda x: x * torch.sigmoid(1.5 * x),
}
# layers, activation, loss, lambda, batch norm, learned beta
CASES = [
    ([3, 4, 3], "relu", "mse", 0.0, None, False),
    ([3, 4, 3], "tanh", "cross-entropy:0.1", 0.01, None, False),
    ([3, 4, 3], "gelu", "bce", 0.0, None, False),
    ([3, 4, 4, 2], "gelu-tanh", "mse", 0.0, None, False),
    ([3, 4, 4, 3], "swish:1.5", "cross-entropy", 0.0, None, True),
    ([3, 4, 2], "elu:0.7", "mse", 0.0, None, False),
    ([3, 4, 4, 2], "sigmoid", "bce", 0.02, None, False),
    ([3, 4, 3], "leaky-relu:0.1", "cross-entropy", 0.0, None, False),
    ([3, 4, 2], "prelu", "cross-entropy", 0.0, None, False),
    ([3, 4, 4, 3], "tanh", "cross-entropy", 0.0, "batch", False),
    ([3, 4, 3], "gelu", "mse", 0.0, "running", False),
]


def case(layers, activation, loss, l2, norm, learned):
    shapes, depth = [], len(layers) - 1
    for l in range(1, depth + 1):
        shapes += [("W", (layers[l - 1], layers[l])), ("b", (layers[l],))]
        if l < depth:
            if norm:
                shapes += [("gamma", (layers[l],)), ("beta", (layers[l],))]
            if learned or activation == "prelu":
                shapes += [("slope", (1,))]
    count = sum(torch.Size(s).numel() for _, s in shapes)
    x = torch.tensor([[row(i, j) for j in range(layers[0])] for i in range(ROWS)])
    labels = torch.tensor([i % layers[-1] for i in range(ROWS)])

    def objective(theta):
        at, h, take = 0, x, iter(shapes)
        squares = 0.0

        def next_one():
            nonlocal at
            _, shape = next(take)
            n = torch.Size(shape).numel()
            at += n
            return theta[at - n : at].reshape(shape)

        for l in range(1, depth + 1):
            w, b = next_one(), next_one()
            squares = squares + (w * w).sum()
            h = h @ w + b
            if l == depth:
                break
            if norm:
                gamma, beta = next_one(), next_one()
                if norm == "batch":
                    h = (h - h.mean(0)) / torch.sqrt(h.var(0, unbiased=False) + 1e-5)
                else:
                    h = h / (1 + 1e-5) ** 0.5
                h = gamma * h + beta
            if activation == "prelu":
                p = next_one()
                h = torch.where(h >= 0, h, p * h)
            elif learned:
                p = next_one()
                h = h * torch.sigmoid(p * h)
            else:
                h = ACTIVATIONS[activation](h)
        targets = F.one_hot(labels, layers[-1]).to(h.dtype)
        if loss == "mse":
            value = F.mse_loss(h, targets)
        elif loss == "bce":
            value = F.binary_cross_entropy_with_logits(h, targets)
        else:
            value = F.cross_entropy(h, labels, label_smoothing=float((loss + ":0").split(":")[1]))
        return value + l2 / 2 * squares

    theta = torch.tensor([parameter(i) for i in range(count)])
    hessian = torch.func.hessian(objective)(theta)
    assert (hessian - hessian.T).abs().max() < 1e-12
    upper = [hessian[i, j].item() for i in range(count) for j in range(i, count)]
    return {
        "layers": layers,
        "activation": activation,
        "loss": loss,
        "l2": l2,
        "norm": norm,
        "learned_beta": learned,
        "parameters": count,
        "value": objective(theta).item(),
        "upper": [float(f"{x:.15g}") for x in upper],
    }


golden = {"torch": torch.__version__.split("+")[0], "rows": ROWS, "cases": [case(*c) for c in CASES]}
path = Path(__file__).with_name("hessian.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(path, path.stat().st_size, "bytes")
