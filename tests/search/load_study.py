"""Prints what Optuna makes of a study's file: its trials, its best, the importance of its parameters; then adds a trial."""

import json
import sys
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(sys.argv[1]))
name = storage.get_all_studies()[0].study_name
study = optuna.load_study(study_name=name, storage=storage)
told = {
    "direction": study.direction.name,
    "best": study.best_trial.number,
    "value": study.best_value,
    "states": [trial.state.name.lower() for trial in study.trials],
    "parameters": [{name: str(value) for name, value in trial.params.items()} for trial in study.trials],
    "nan_steps": [sum(value != value for value in trial.intermediate_values.values()) for trial in study.trials],
    "steps": [len(trial.intermediate_values) for trial in study.trials],
}
evaluator = optuna.importance.FanovaImportanceEvaluator(seed=1)
told["importance"] = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)
study.enqueue_trial({"lr": 0.125})
print(json.dumps(told))
