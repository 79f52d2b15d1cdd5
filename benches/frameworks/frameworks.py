#!/usr/bin/env python3
"""Training steps and second derivatives of PyTorch, JAX and NumPy, for `tilelab bench train-step` and `hessian`, which start `frameworks.py NAME THREADS` for each.

One JSON object a line, both ways. The first line out is {"ready": "PyTorch 2.15.0"} or {"missing": why}. Then:
  {"open": {"layers": [..], "batch": n, "rows": n, "epochs": n, "loss": "cross-entropy"|"bce", "optimizer": "sgd"|"adam", "lr": x, "value": bool}}
      -> {"opened": id}; with epochs 0 a call is one step on one batch, else that many epochs over `rows` rows with a shuffle each;
      with "tested": n too the rows are bytes / 255, and each epoch ends with evaluations on all of them and on n others (PyTorch alone);
  {"losses": id, "steps": n} -> {"losses": [..]} of the first n steps from the first parameters, on the first batch;
  {"run": id, "calls": n} -> {"ns": how long n calls took};
  {"derivative": {"what": "hessian"|"gradient", "layers": [..], "rows": n, "loss": "mse"|"cross-entropy", "activation": "relu"|"tanh", "of": "all"|"W1"}}
      -> {"opened": id, "values": [..]}: all of the answer, flat, once; null where the framework has no such thing.
Inputs and first parameters come from `numbers`, which src/bench/train_step.rs has too.
"""
import json
import os
import sys
import time

NAME, THREADS = sys.argv[1], int(sys.argv[2])
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(THREADS)
os.environ["OMP_WAIT_POLICY"] = "passive"
# OpenBLAS has threads of its own, which spin 2^26 cycles for their next call by default: into the next contestant's turn.
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "4"
if THREADS == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np  # noqa: E402  after the variables above

ADAM = (0.9, 0.999, 1e-8)
# Rows of a batch while PyTorch evaluates: the quickest of those that were tried.
EVALUATED = 512


def numbers(count, seed, first=0):
    """From [-0.5, 0.5): a hash of each place from `first` on."""
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(first, first + count, dtype=np.uint64) + np.uint64(seed * 0x9E3779B9)) & mask
    h = (h * np.uint64(0x85EBCA6B)) & mask
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(0xC2B2AE35)) & mask
    h ^= h >> np.uint64(13)
    return h.astype(np.float64) / 2.0**32 - 0.5


class Case:
    """Sizes, data and first parameters."""

    def __init__(self, epochs, layers, batch, rows, loss, optimizer, lr, value, tested=0):
        self.epochs, self.layers, self.batch, self.loss = epochs, layers, batch, loss
        self.optimizer, self.lr, self.value = optimizer, lr, value
        self.tested = tested
        self.x = self.inputs(rows, 1) if tested else (numbers(rows * layers[0], 1) + 0.5).astype(np.float32).reshape(rows, layers[0])
        self.y = (np.arange(rows) * 7 % 11 % max(layers[-1], 2)).astype(np.int64)
        self.parameters = []
        for l, (n, q) in enumerate(zip(layers, layers[1:]), 1):
            w = numbers(n * q, 10 + l) * (4.0 / n) ** 0.5
            self.parameters += [w.astype(np.float32).reshape(n, q), np.zeros(q, np.float32)]
        self.random = np.random.default_rng(1)

    def inputs(self, rows, seed):
        """Bytes as the trainer draws them, as f32 from 0 to 1; in pieces, since a hash takes 8 bytes a number."""
        columns, x = self.layers[0], np.empty((rows, self.layers[0]), np.float32)
        for at in range(0, rows, 5000):
            part = x[at : at + 5000]
            drawn = numbers(part.size, seed, at * columns)
            part[:] = (((drawn + 0.5) * 256).astype(np.uint8).astype(np.float32) / 255).reshape(part.shape)
        return x

    def targets(self):
        return self.y.astype(np.float32).reshape(-1, 1) if self.loss == "bce" else self.y


class NumPy:
    version = f"NumPy {np.__version__}"

    def __init__(self, case):
        self.case, self.t = case, 0
        self.p = [p.copy() for p in case.parameters]
        self.m = [np.zeros_like(p) for p in self.p]
        self.v = [np.zeros_like(p) for p in self.p]
        self.x, self.y = case.x, case.targets()

    def step(self, x, y, value):
        case, p, kept = self.case, self.p, [x]
        for l in range(0, len(p), 2):
            z = kept[-1] @ p[l]
            z += p[l + 1]
            if l + 2 < len(p):
                np.maximum(z, 0, out=z)
            kept.append(z)
        o, rows, loss = kept[-1], np.float32(len(x)), None
        if case.loss == "bce":
            if value:
                loss = float(np.mean(np.maximum(o, 0) - o * y + np.log1p(np.exp(-np.abs(o)))))
            d = (1 / (1 + np.exp(-o)) - y) / rows
        else:
            o = o - o.max(axis=1, keepdims=True)
            e = np.exp(o)
            total = e.sum(axis=1, keepdims=True)
            places = np.arange(len(x)), y
            if value:
                loss = float(np.mean(np.log(total[:, 0]) - o[places]))
            d = e / total
            d[places] -= 1
            d /= rows
        self.t += 1
        for l in range(len(p) - 2, -1, -2):
            gradients = kept[l // 2].T @ d, d.sum(axis=0)
            if l:
                d = (d @ p[l].T) * (kept[l // 2] > 0)
            for i, g in enumerate(gradients, l):
                self.update(i, g)
        return loss

    def update(self, i, g):
        lr = np.float32(self.case.lr)
        if self.case.optimizer == "sgd":
            self.p[i] -= lr * g
            return
        b1, b2, eps = ADAM
        self.m[i] += np.float32(1 - b1) * (g - self.m[i])
        self.v[i] += np.float32(1 - b2) * (g * g - self.v[i])
        rate = np.float32(self.case.lr / (1 - b1**self.t))
        self.p[i] -= rate * self.m[i] / (np.sqrt(self.v[i]) * np.float32((1 - b2**self.t) ** -0.5) + np.float32(eps))

    def calls(self, count):
        case = self.case
        for _ in range(count):
            if not case.epochs:
                self.step(self.x[: case.batch], self.y[: case.batch], case.value)
            for _ in range(case.epochs):
                order = case.random.permutation(len(self.x))
                for at in range(0, len(order), case.batch):
                    rows = order[at : at + case.batch]
                    self.step(self.x[rows], self.y[rows], case.value)


def pytorch():
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)

    class PyTorch:
        version = f"PyTorch {torch.__version__}"

        def __init__(self, case):
            self.case, layers = case, []
            for w, b in zip(case.parameters[::2], case.parameters[1::2]):
                linear = nn.Linear(*w.shape)
                with torch.no_grad():
                    linear.weight.copy_(torch.from_numpy(w.T.copy()))
                    linear.bias.copy_(torch.from_numpy(b))
                layers += [linear, nn.ReLU()]
            self.model = nn.Sequential(*layers[:-1])
            kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[case.optimizer]
            self.optimizer = kind(self.model.parameters(), lr=case.lr)
            self.loss = nn.BCEWithLogitsLoss() if case.loss == "bce" else nn.CrossEntropyLoss()
            self.x, self.y = torch.from_numpy(case.x), torch.from_numpy(case.targets())
            self.first = self.x[: case.batch], self.y[: case.batch]
            if case.tested:
                labels = np.arange(case.tested) * 7 % 11 % case.layers[-1]
                self.test = torch.from_numpy(case.inputs(case.tested, 2)), torch.from_numpy(labels.astype(np.int64))

        def step(self, x, y, value):
            self.optimizer.zero_grad()
            loss = self.loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            return loss.item() if value else None

        def calls(self, count):
            case = self.case
            for _ in range(count):
                if not case.epochs:
                    self.step(*self.first, case.value)
                for _ in range(case.epochs):
                    order = torch.randperm(len(self.x))
                    for rows in order.split(case.batch):
                        self.step(self.x[rows], self.y[rows], case.value)
                    if case.tested:
                        self.evaluate(self.x, self.y)
                        self.evaluate(*self.test)

        def evaluate(self, x, y, rows=EVALUATED):
            """The mean loss and the share that is right."""
            with torch.no_grad():
                loss, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
                for x, y in zip(x.split(rows), y.split(rows)):
                    o = self.model(x)
                    loss += self.loss(o, y) * len(y)
                    right += (o.argmax(1) == y).sum()
                return loss.item(), right.item()

    return PyTorch


def jax():
    import jax
    import jax.numpy as jnp

    class Jax:
        version = f"JAX {jax.__version__}"

        def __init__(self, case):
            self.case = case
            self.x, self.y = jnp.asarray(case.x), jnp.asarray(case.targets())
            self.first = self.x[: case.batch], self.y[: case.batch]
            zeros = [jnp.zeros_like(p) for p in case.parameters]
            self.state = ([jnp.asarray(p) for p in case.parameters], zeros, zeros, jnp.float32(0))
            self.key = jax.random.key(1)

            def loss_of(p, x, y):
                h = x
                for l in range(0, len(p), 2):
                    z = h @ p[l] + p[l + 1]
                    h = jnp.maximum(z, 0)
                if case.loss == "bce":
                    return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))
                return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))

            def step(state, x, y):
                p, m, v, t = state
                loss, g = jax.value_and_grad(loss_of)(p, x, y)
                t = t + 1
                if case.optimizer == "sgd":
                    return ([a - case.lr * b for a, b in zip(p, g)], m, v, t), loss
                b1, b2, eps = ADAM
                m = [a + (1 - b1) * (b - a) for a, b in zip(m, g)]
                v = [a + (1 - b2) * (b * b - a) for a, b in zip(v, g)]
                scale = [jnp.sqrt(b) / jnp.sqrt(1 - b2**t) + eps for b in v]
                return ([a - case.lr / (1 - b1**t) * b / c for a, b, c in zip(p, m, scale)], m, v, t), loss

            def epoch(state, key):
                order = jax.random.permutation(key, len(case.x))
                whole = len(case.x) // case.batch
                batches = order[: whole * case.batch].reshape(whole, case.batch)
                state, losses = jax.lax.scan(lambda s, rows: step(s, self.x[rows], self.y[rows]), state, batches)
                rest = order[whole * case.batch :]
                if len(rest):
                    state, _ = step(state, self.x[rest], self.y[rest])
                return state, losses

            self.with_loss = jax.jit(step)
            self.without = jax.jit(lambda *args: step(*args)[0])
            self.epoch = jax.jit(epoch)

        def step(self, x, y, value):
            if not value:
                self.state = self.without(self.state, x, y)
                return None
            self.state, loss = self.with_loss(self.state, x, y)
            return float(loss)

        def calls(self, count):
            for _ in range(count):
                if not self.case.epochs:
                    self.step(*self.first, self.case.value)
                for _ in range(self.case.epochs):
                    self.key, key = jax.random.split(self.key)
                    self.state, _ = self.epoch(self.state, key)
            jax.block_until_ready(self.state)

    return Jax


class Derivative:
    """A flat vector of parameters, [in, out] and bias layer by layer, and a function of it; `ops` is torch or jax.numpy."""

    def __init__(self, what, layers, rows, loss, activation, of):
        self.what, self.layers, self.loss, self.activation, self.of = what, layers, loss, activation, of
        self.x = (2 * numbers(rows * layers[0], 1)).astype(np.float32).reshape(rows, layers[0])
        self.y = (np.arange(rows) * 7 % 11 % layers[-1]).astype(np.int64)
        flat = []
        for l, (n, q) in enumerate(zip(layers, layers[1:]), 1):
            flat += [numbers(n * q, 10 + l) * (4.0 / n) ** 0.5, numbers(q, 20 + l)]
        self.theta = np.concatenate(flat).astype(np.float32)
        self.count = layers[0] * layers[1] if of == "W1" else len(self.theta)

    def objective(self, ops, log_softmax, x, y, one_hot, rest):
        """Of the leading `count` parameters, the others being `rest`."""

        def value(part):
            theta = ops.concatenate([part, rest]) if len(rest) else part
            h, at = x, 0
            for l, (n, q) in enumerate(zip(self.layers, self.layers[1:]), 1):
                w, b = theta[at : at + n * q].reshape(n, q), theta[at + n * q : at + n * q + q]
                at += (n + 1) * q
                h = h @ w + b
                if l < len(self.layers) - 1:
                    h = ops.tanh(h) if self.activation == "tanh" else log_softmax.relu(h)
            if self.loss == "mse":
                return ((h - one_hot) ** 2).mean()
            return -(log_softmax.log_softmax(h, -1) * one_hot).sum() / len(x)

        return value


def derivative_pytorch(case):
    import torch
    from torch.nn import functional

    theta = torch.from_numpy(case.theta)
    one_hot = functional.one_hot(torch.from_numpy(case.y), case.layers[-1]).float()
    part, rest = theta[: case.count], theta[case.count :]
    value = case.objective(torch, functional, torch.from_numpy(case.x), None, one_hot, rest)
    function = torch.func.hessian(value) if case.what == "hessian" else torch.func.grad(value)
    return lambda: function(part), lambda answer: answer.numpy()


def derivative_jax(case):
    import jax
    import jax.numpy as jnp

    theta = jnp.asarray(case.theta)
    one_hot = jax.nn.one_hot(case.y, case.layers[-1])
    part, rest = theta[: case.count], theta[case.count :]
    value = case.objective(jnp, jax.nn, jnp.asarray(case.x), None, one_hot, rest)
    function = jax.jit(jax.hessian(value) if case.what == "hessian" else jax.grad(value))
    return lambda: function(part).block_until_ready(), np.asarray


class Repeated:
    """What `run` calls."""

    def __init__(self, call):
        self.call = call

    def calls(self, count):
        for _ in range(count):
            self.call()


def main():
    # Whatever a library prints goes to stderr.
    out, sys.stdout = sys.stdout, sys.stderr

    def say(line):
        print(json.dumps(line), file=out, flush=True)

    try:
        make = {"pytorch": pytorch, "jax": jax, "numpy": lambda: NumPy}[NAME]()
    except ImportError as error:
        return say({"missing": str(error)})
    say({"ready": make.version})
    cases = []
    for line in sys.stdin:
        order = json.loads(line)
        if "open" in order:
            if order["open"].get("tested") and NAME != "pytorch":
                say({"missing": "whole epochs with evaluations"})
                continue
            cases.append(Case(**order["open"]))
            say({"opened": len(cases) - 1})
            cases[-1] = (cases[-1], make(cases[-1]))
        elif "derivative" in order:
            case = Derivative(**order["derivative"])
            make_one = {"pytorch": derivative_pytorch, "jax": derivative_jax}.get(NAME)
            if make_one is None:
                say({"opened": None})
                continue
            call, values = make_one(case)
            say({"opened": len(cases), "values": values(call()).astype(float).ravel().tolist()})
            cases.append((case, Repeated(call)))
        elif "losses" in order:
            case, _ = cases[order["losses"]]
            fresh = make(case)
            first = fresh.x[: case.batch], fresh.y[: case.batch]
            say({"losses": [fresh.step(*first, True) for _ in range(order["steps"])]})
        else:
            _, running = cases[order["run"]]
            begun = time.perf_counter_ns()
            running.calls(order["calls"])
            say({"ns": time.perf_counter_ns() - begun})


main()
