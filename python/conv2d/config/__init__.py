"""The experiment file: models of every block, reading with line and hint, overrides, defaults for a data set."""

from conv2d.config.architecture import Architecture, Clustering, Model, Quantization, Temporal
from conv2d.config.defaults import DatasetFacts, default_config
from conv2d.config.experiment import (
    ANY_ORIENTATION_DEG,
    Augmentation,
    Config,
    Correction,
    Data,
    Evaluation,
    Simulate,
    Training,
)
from conv2d.config.load import apply_overrides, load_config, parse_config, resolve_experiment
from conv2d.config.selection import select_names

__all__ = [
    "ANY_ORIENTATION_DEG",
    "Architecture",
    "Augmentation",
    "Clustering",
    "Config",
    "Correction",
    "Data",
    "DatasetFacts",
    "Evaluation",
    "Model",
    "Quantization",
    "Simulate",
    "Temporal",
    "Training",
    "apply_overrides",
    "default_config",
    "load_config",
    "parse_config",
    "resolve_experiment",
    "select_names",
]
