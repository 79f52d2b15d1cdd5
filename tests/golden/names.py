#!/usr/bin/env python3
"""Makes tests/golden/state_dict.json: names, types and shapes that PyTorch gives to the network of tests/python.rs. Needs `pip install torch`."""
import json

from torch import nn

layers = []
for inputs, outputs in ((784, 24), (24, 12)):
    layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.PReLU(), nn.Dropout(0.1)]
state = nn.Sequential(*layers, nn.Linear(12, 10)).state_dict()
types = {"torch.float32": "float32", "torch.int64": "int64"}
named = {name: [types[str(tensor.dtype)], list(tensor.shape)] for name, tensor in state.items()}
with open("state_dict.json", "w") as file:
    json.dump(named, file, indent=1)
    file.write("\n")
