"""Optuna's TPE for `tilelab bench search`, which starts this script and holds the functions.

One JSON object a line, both ways. The first line out is {"ready": "Optuna 5.0.0"} or {"missing": why}. Then, for each order
{"space": [..], "seed": n, "trials": n}, as many times: out {"ask": {name: value}}, in {"loss": x}.
"""

import json
import sys

try:
    import optuna
except ImportError as error:
    print(json.dumps({"missing": str(error)}), flush=True)
    sys.exit()

optuna.logging.set_verbosity(optuna.logging.ERROR)
print(json.dumps({"ready": f"Optuna {optuna.__version__}"}), flush=True)


def there(when, values):
    if when is None:
        return True
    if "at_least" in when:
        parent, least = when["at_least"]
        return values.get(parent, least - 1) >= least
    parent, choices = when["one_of"]
    return values.get(parent) in choices


def suggest(trial, name, domain):
    if isinstance(choices := domain.get("choice"), list):
        return trial.suggest_categorical(name, choices)
    if kind := domain.get("int"):
        return trial.suggest_int(name, kind["low"], kind["high"], log=kind["log"], step=kind["step"])
    kind = domain["float"]
    return trial.suggest_float(name, kind["low"], kind["high"], log=kind["log"], step=kind["step"])


for line in sys.stdin:
    order = json.loads(line)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=order["seed"]))
    for _ in range(order["trials"]):
        trial, values = study.ask(), {}
        for parameter in order["space"]:
            if there(parameter.get("when"), values):
                values[parameter["name"]] = suggest(trial, parameter["name"], parameter["domain"])
        print(json.dumps({"ask": values}), flush=True)
        study.tell(trial, json.loads(sys.stdin.readline())["loss"])
