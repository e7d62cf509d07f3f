"""The experiment file as a whole: ``Config`` and its blocks ``data``, ``training`` and ``evaluation``."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from conv2d.config.architecture import Model
from conv2d.config.base import Block, Listed, Location, Name, Names, distinct, fault

Metric = Literal[
    "accuracy", "macro_f1", "balanced_accuracy", "nll", "brier", "ece", "mce", "coverage", "mean_set_size",
    "f1@10", "f1@25", "f1@50", "edit", "boundary_error_s", "motif_count", "usage", "perplexity",
]  # fmt: skip
Baseline = Literal["majority", "random_kernels", "forest"]
# Names listed one by one, their number only (as a check), or whatever the data set has.
Selection = Literal["all"] | Annotated[int, Field(ge=1)] | Names


ANY_ORIENTATION_DEG = 120  # a rotation of this spread or more is drawn as any orientation


class Correction(Block):
    """Columns (patterns such as ``mpu9250/acc_*``) to divide in recordings whose column ``where`` is true."""

    where: Name
    columns: Names
    divide: float = Field(gt=0)


class Simulate(Block):
    """Data made by the package's own simulator instead of recorded ones."""

    subjects: int = Field(default=12, ge=3, le=1000)
    minutes: float = Field(default=5.0, gt=0, le=600)
    seed: int = Field(default=0, ge=0, le=2**32 - 1)


class Data(Block):
    """Which recordings, channels and classes, and how windows are cut from them. Counts are samples."""

    name: Name
    path: Location | None = None
    sampling_rate: float = Field(gt=0, le=1e6)
    window_size: int = Field(ge=8, le=100_000)
    hop: int = Field(default=0, ge=1)  # filled in below: half a window
    decode_hop: int = Field(default=0, ge=1)  # filled in below: the divisor of the hop nearest to a sixteenth window
    label_rule: Literal["centre", "majority", "pure"] = "centre"
    sensors: Selection = "all"
    channels: Selection = "all"
    classes: Literal["all"] | Names = "all"
    max_gap_s: float = Field(default=0.25, ge=0)
    norms: bool = False  # filled in below: where training turns sensors to any orientation
    corrections: Annotated[tuple[Correction, ...], Listed] = ()
    simulate: Simulate | None = None
    test_subjects: Annotated[tuple[Name, ...], AfterValidator(distinct), Listed] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_hops(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        window = values.get("window_size")
        if not isinstance(window, int) or not 8 <= window <= 100_000:
            return {"hop": 1, "decode_hop": 1, **values}  # the window has a fault of its own, which is reported
        hop = values.get("hop", window // 2)
        usable = isinstance(hop, int) and 1 <= hop <= window
        return {"hop": hop, "decode_hop": nearest_divisor(hop, window / 16) if usable else 1, **values}

    @model_validator(mode="after")
    def _hops_fit(self) -> "Data":
        if self.hop > self.window_size:
            raise fault("hop", f"is {self.hop}, more than window_size ({self.window_size}), which would skip samples")
        if self.hop % self.decode_hop:
            raise fault(
                "decode_hop",
                f"is {self.decode_hop}, which does not divide hop ({self.hop}); expected a divisor, "
                f"such as {nearest_divisor(self.hop, self.decode_hop)}, so that every window is also a frame",
            )
        return self

    @property
    def window_s(self) -> float:
        """Length of a window in seconds."""
        return self.window_size / self.sampling_rate

    @property
    def frame_s(self) -> float:
        """Distance of two frames of the timeline in seconds."""
        return self.decode_hop / self.sampling_rate


class Augmentation(Block):
    """Random changes of training windows; zero turns one off."""

    rotation_deg: float = Field(default=15.0, ge=0, le=180)
    scaling: float = Field(default=0.1, ge=0, lt=1)
    jitter: float = Field(default=0.03, ge=0, le=1)
    time_warp: float = Field(default=0.0, ge=0, lt=1)
    sensor_dropout: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0, le=10)


class Training(Block):
    """Optimiser (AdamW), schedule, sampling of windows and the inner split."""

    epochs: int = Field(default=20, ge=1, le=100_000)
    windows_per_epoch: int = Field(default=4000, ge=2)
    batch_size: int = Field(default=64, ge=2)  # batch normalisation needs two
    train_hop: Annotated[int, Field(ge=1)] | None = None
    learning_rate: float = Field(default=3e-3, gt=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced", "sqrt"] = "balanced"
    ema: Annotated[float, Field(gt=0, lt=1)] | None = 0.995
    augmentation: Augmentation = Augmentation()
    inner_folds: int = Field(default=3, ge=2, le=20)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _batch_fits(self) -> "Training":
        if self.batch_size > self.windows_per_epoch:
            raise fault("batch_size", f"is {self.batch_size}, more than windows_per_epoch ({self.windows_per_epoch})")
        return self


class Evaluation(Block):
    """Protocol by subject, what is printed, what it is compared with."""

    folds: int = Field(default=5, ge=2, le=1000)
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1), AfterValidator(distinct), Listed] = (
        "accuracy", "macro_f1", "ece", "coverage", "motif_count",
    )  # fmt: skip
    leak_permutations: int = Field(default=100, ge=20, le=100_000)
    baselines: Annotated[tuple[Baseline, ...], AfterValidator(distinct), Listed] = (
        "majority", "random_kernels", "forest",
    )  # fmt: skip


class Config(Block):
    """One experiment: what is trained on what, and how it is judged. ``load_config`` reads it from a file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    task: Literal["behavior"] = "behavior"
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    output: Location = Path()  # filled in below: runs/<name>
    model: Model = Model()
    data: Data
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Fill in what depends on another block: where the run goes, and a code for every eighth of a window."""
        if not isinstance(values, dict):
            return values
        values = {"output": f"runs/{values.get('name')}", **values}
        data = _block(values.get("data"))
        window = data.get("window_size")
        degrees = _block(_block(values.get("training", {})).get("augmentation", {})).get("rotation_deg", 0)
        if data:
            values["data"] = {"norms": isinstance(degrees, int | float) and degrees >= ANY_ORIENTATION_DEG, **data}
        model = _block(values.get("model", {}))
        architecture = _block(model.get("architecture", {}))
        quantization = _block(architecture.get("quantization", {}))
        written = [values.get("model", {}), model.get("architecture", {}), architecture.get("quantization", {})]
        if isinstance(window, int) and window >= 8 and all(isinstance(block, dict) for block in written):
            quantization = {"positions": min(window // 8, 256), **quantization}
            values["model"] = {**model, "architecture": {**architecture, "quantization": quantization}}
        return values

    @model_validator(mode="after")
    def _pool_fits(self) -> "Config":
        positions, columns = self.model.architecture.quantization.positions, -(-self.data.window_size // 4)
        if positions > columns:
            message = f"is {positions}, more than the {columns} columns that windows of {self.data.window_size} leave"
            raise fault("model.architecture.quantization.positions", message)
        if (self.training.train_hop or 1) > self.data.window_size:
            message = f"is {self.training.train_hop}, more than data.window_size ({self.data.window_size})"
            raise fault("training.train_hop", message)
        return self

    def to_yaml(self) -> str:
        """Return the resolved experiment, every default written out; ``load_config`` reads the same ``Config`` back."""
        from conv2d.config.yaml_lines import dump

        return dump(self.model_dump(mode="json"))

    def sha256(self) -> str:
        """Return the hash of the resolved experiment as 64 hexadecimal digits.

        Where things lie (``output``, ``data.path``) is left out: the same experiment on another machine has the
        same hash.
        """
        values = self.model_dump(mode="json", exclude={"output": True, "data": {"path"}})
        return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _block(value: Any) -> dict[str, Any]:
    """A block as it was written; anything else than a block is left for the validation to refuse."""
    return value if isinstance(value, dict) else {}


def nearest_divisor(number: int, target: float) -> int:
    """Return the divisor of a number (at least 1) that is nearest to a target, the smaller one of two equally near.

    >>> nearest_divisor(64, 8), nearest_divisor(50, 6.25), nearest_divisor(7, 3)
    (8, 5, 1)
    """
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: (abs(d - target), d))
