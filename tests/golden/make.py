#!/usr/bin/env python3
"""Makes tests/golden/pytorch.json: what PyTorch computes, in f64, for small networks. Needs `pip install torch`; run it from this folder.

Names are those of Tilelab's programs; weights are written as [in, out], the transpose of PyTorch's. The test is tests/train/golden.rs.
"""
import json

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
ROWS, STEPS = 12, 20


class Swish(nn.Module):
    """x sigmoid(beta x), beta learned."""

    def __init__(self, beta):
        super().__init__()
        self.beta = nn.Parameter(torch.tensor([beta]))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky-relu:0.1": lambda: nn.LeakyReLU(0.1),
    "prelu": nn.PReLU,
    "elu:0.5": lambda: nn.ELU(0.5),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "swish": nn.SiLU,
    "swish learned": lambda: Swish(1.0),
    "gelu": nn.GELU,
    "gelu-tanh": lambda: nn.GELU("tanh"),
}


def network(widths, activation, norm):
    """The Sequential, and (module, layer number) of each part that has parameters."""
    modules, parts = [], []
    for l, (inputs, outputs) in enumerate(zip(widths, widths[1:]), 1):
        modules.append(nn.Linear(inputs, outputs))
        parts.append((modules[-1], l))
        if l < len(widths) - 1:
            if norm:
                modules.append(nn.BatchNorm1d(outputs))
                parts.append((modules[-1], l))
            modules.append(ACTIVATIONS[activation]())
            parts.append((modules[-1], l))
    return nn.Sequential(*modules), parts


def named(parts):
    """Name, tensor, and whether Tilelab's is its transpose."""
    for module, l in parts:
        if isinstance(module, nn.Linear):
            yield f"W{l}", module.weight, True
            yield f"b{l}", module.bias, False
        elif isinstance(module, nn.BatchNorm1d):
            yield f"gamma{l}", module.weight, False
            yield f"beta{l}", module.bias, False
            yield f"running_mean{l}", module.running_mean, False
            yield f"running_var{l}", module.running_var, False
            yield f"batches{l}", module.num_batches_tracked, False
        elif isinstance(module, nn.PReLU):
            yield f"slope{l}", module.weight, False
        elif isinstance(module, Swish):
            yield f"slope{l}", module.beta, False


def flat(tensor, transpose=False):
    tensor = tensor.detach().double()
    return (tensor.t() if transpose else tensor).reshape(-1).tolist()


def values(parts):
    return {name: flat(tensor, turned) for name, tensor, turned in named(parts)}


def loss_of(loss, outputs, labels):
    if loss.startswith("cross-entropy"):
        smoothing = float(loss.partition(":")[2] or 0)
        return nn.functional.cross_entropy(outputs, labels, label_smoothing=smoothing)
    columns = outputs.shape[1]
    targets = nn.functional.one_hot(labels, columns).double() if columns > 1 else labels.double().reshape(-1, 1)
    both = {"mse": nn.functional.mse_loss, "bce": nn.functional.binary_cross_entropy_with_logits}
    return both[loss](outputs, targets)


def optimizer_of(name, parts, lr, l2):
    regular = [m.weight for m, _ in parts if isinstance(m, nn.Linear)]
    known = {id(p) for p in regular}
    rest = [p for m, _ in parts for p in m.parameters() if id(p) not in known]
    groups = [{"params": regular, "weight_decay": l2}, {"params": rest, "weight_decay": 0.0}]
    kind, _, number = name.partition(":")
    if kind in ("sgd", "momentum", "nesterov"):
        return torch.optim.SGD(groups, lr=lr, momentum=float(number or 0), nesterov=kind == "nesterov")
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](groups, lr=lr)


def case(activation, loss, norm, optimizer, outputs=3):
    widths, lr, l2 = [5, 7, 6, outputs], 0.05, 0.01
    model, parts = network(widths, activation, norm)
    x = (torch.randn(ROWS, widths[0]) * 64).round() / 64  # exact in f32
    labels = torch.arange(ROWS) % (outputs if outputs > 1 else 2)
    first = values(parts)
    steps = optimizer_of(optimizer, parts, lr, l2)
    result = {}
    for step in range(STEPS):
        model.train()
        steps.zero_grad()
        logits = model(x)
        loss_value = loss_of(loss, logits, labels)
        loss_value.backward()
        if step == 0:
            gradients = {
                "d" + name: flat(tensor.grad, turned)
                for name, tensor, turned in named(parts)
                if isinstance(tensor, nn.Parameter)
            }
            result |= {"logits": flat(logits), "loss": loss_value.item(), "gradients": gradients}
        steps.step()
    model.eval()
    with torch.no_grad():
        result["predicted"] = flat(model(x))
    return {
        "widths": widths,
        "activation": activation.split()[0],
        "learned_beta": activation == "swish learned",
        "loss_kind": loss,
        "batch_norm": norm,
        "optimizer": optimizer,
        "lr": lr,
        "l2": l2,
        "x": flat(x),
        "labels": labels.tolist(),
        "first": first,
        **result,
        "last": values(parts),
    }


def main():
    torch.manual_seed(20261124)
    cases = [case(activation, "cross-entropy", False, "sgd") for activation in ACTIVATIONS]
    cases += [case(activation, "cross-entropy", True, "sgd") for activation in ("relu", "prelu", "tanh", "swish learned")]
    for optimizer in ("momentum:0.9", "nesterov:0.9", "adam", "adamw"):
        cases += [case("tanh", "cross-entropy", False, optimizer), case("gelu", "cross-entropy:0.1", True, optimizer)]
    for loss in ("cross-entropy:0.1", "mse", "bce"):
        cases.append(case("sigmoid", loss, False, "adam"))
    cases += [case("relu", loss, False, "sgd", outputs=1) for loss in ("mse", "bce")]
    with open("pytorch.json", "w") as file:
        json.dump({"torch": torch.__version__, "steps": STEPS, "cases": cases}, file, separators=(",", ":"))
        file.write("\n")


main()
