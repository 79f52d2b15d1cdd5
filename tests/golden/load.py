#!/usr/bin/env python3
"""load.py MODEL STATE_DICT IMAGES: loads model.safetensors with the `safetensors` package, holds names, types and shapes against PyTorch's, and
prints the logits of the images (bytes, 784 each) as JSON, computed with NumPy in f64."""
import json
import sys

import numpy as np
from safetensors.numpy import load_file

model, names, images = sys.argv[1:]
p = load_file(model)
got = {name: [str(array.dtype), list(array.shape)] for name, array in p.items()}
with open(names) as file:
    wanted = json.load(file)
if got != wanted:
    sys.exit(f"the file holds {got}, PyTorch {wanted}")
p = {name: array.astype(np.float64) for name, array in p.items()}
h = np.fromfile(images, np.uint8).reshape(-1, 784).astype(np.float32).astype(np.float64) / 255
for place in (0, 4, 8):
    h = h @ p[f"{place}.weight"].T + p[f"{place}.bias"]
    if place < 8:
        norm = place + 1
        h = (h - p[f"{norm}.running_mean"]) / np.sqrt(p[f"{norm}.running_var"] + 1e-5)
        h = h * p[f"{norm}.weight"] + p[f"{norm}.bias"]
        h = np.where(h > 0, h, p[f"{place + 2}.weight"] * h)
json.dump(h.tolist(), sys.stdout)
