#!/usr/bin/env python3
"""The largest eigenvalues of the Hessian of 784-256-10 (relu, softmax cross-entropy) on the first 2,048 training images of the embedded part
of Fashion-MNIST, for tests/hessian/large.rs: SciPy's eigsh over PyTorch products in f64. Writes eigenvalue.json beside itself.

    python3 tests/golden/eigenvalue.py
"""
import gzip
import json
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
LAYERS, ROWS = [784, 256, 10], 2048
HERE = Path(__file__).parent
DATA = HERE.parent.parent / "assets" / "fashion-mnist"


def idx(name, header):
    return np.frombuffer(gzip.decompress((DATA / name).read_bytes())[header:], np.uint8)


x = torch.from_numpy(idx("train-images-idx3-ubyte.gz", 16)[: ROWS * 784].reshape(ROWS, 784) / 255.0)
y = torch.from_numpy(idx("train-labels-idx1-ubyte.gz", 8)[:ROWS].astype(np.int64))
sizes = [(784, 256), (256,), (256, 10), (10,)]
count = sum(int(np.prod(s)) for s in sizes)
i = np.arange(count, dtype=np.int64)
# Over the 784 inputs' square root, about: the formula of hessian.py over 16.
theta = torch.from_numpy(((37 * i + 11 * i * i) % 101 - 50) / 1024.0)


def objective(theta):
    parts, at = [], 0
    for s in sizes:
        n = int(np.prod(s))
        parts.append(theta[at : at + n].reshape(s))
        at += n
    w1, b1, w2, b2 = parts
    return F.cross_entropy(torch.relu(x @ w1 + b1) @ w2 + b2, y)


theta.requires_grad_(True)
(gradient,) = torch.autograd.grad(objective(theta), theta, create_graph=True)
products = 0


def product(v):
    global products
    products += 1
    (hv,) = torch.autograd.grad(gradient, theta, torch.from_numpy(np.ascontiguousarray(v).ravel()), retain_graph=True)
    return hv.numpy()


values = eigsh(LinearOperator((count, count), product, dtype=np.float64), k=3, which="LA", tol=1e-10)[0]
golden = {
    "scipy": scipy.__version__,
    "torch": torch.__version__.split("+")[0],
    "rows": ROWS,
    "largest": sorted(map(float, values), reverse=True),
    "products": products,
}
(HERE / "eigenvalue.json").write_text(json.dumps(golden) + "\n")
print(golden)
