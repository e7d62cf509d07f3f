"""From the parameters of ``Conv2dClassifier`` to an experiment: the same `Config` that a file gives."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conv2d.config import Config, apply_overrides, default_config, load_config, parse_config
from conv2d.data.meta import DatasetMeta
from conv2d.errors import UsageError

FEWEST, MOST = 512, 4000  # windows in an epoch over an array, where nothing says how many
Given = Config | Mapping[str, Any] | str | Path | None


def recordings_config(given: Given, parameters: Mapping[str, Any], meta: DatasetMeta) -> Config:
    """The experiment for recordings: that of a file, or the defaults for such data with what was given on top."""
    overrides = [*_flat(given), *_flat(parameters)]
    file = _file(given)
    return default_config(meta, overrides)[0] if file is None else apply_overrides(file, overrides)


def windows_config(
    given: Given,
    parameters: Mapping[str, Any],
    *,
    n_windows: int,
    window: int,
    channels: Sequence[str],
    sensors: Sequence[str],
    classes: Sequence[str],
    rate_hz: float | None,
) -> Config:
    """The experiment for ``n_windows`` windows of ``window`` samples.

    Every window is looked at once: training, calibration and frames lie a whole window apart. Without a file an epoch
    is all windows, 512 at least and 4000 at most. Where the rate is not known, no missing sample is bridged.
    """
    file = _file(given)
    stated = stated_data(given)
    if stated.get("window_size", window) != window:
        raise UsageError(
            f"E-API-020: X has windows of {window} samples, the config says data.window_size {stated['window_size']}; "
            "cut windows like that, or use a config for these"
        )
    known_rate = rate_hz or stated.get("sampling_rate")
    forced: dict[str, Any] = {
        "name": "windows", "sampling_rate": known_rate or 1, "window_size": window, "hop": window,
        "decode_hop": window, "label_rule": "centre", "sensors": list(sensors), "channels": list(channels),
        "classes": list(classes),
    }  # fmt: skip
    if known_rate is None:
        forced["max_gap_s"] = 0
    size = min(max(n_windows, FEWEST), MOST)
    values: dict[str, Any]
    values = {"name": "windows", "training": {"windows_per_epoch": size}} if file is None else _values(file)
    values["data"] = {**values.get("data", {}), **forced}
    values["training"] = {**values["training"], "train_hop": window}
    settled = {"training.train_hop", *(f"data.{key}" for key in forced)}
    overrides = [text for text in _flat(given) if text.partition("=")[0] not in settled]
    return parse_config(values, [*overrides, *_flat(parameters)], origin="Conv2dClassifier")


def stated_data(given: Given) -> dict[str, Any]:
    """What a config says of its data, each key as it is written there; nothing without one."""
    file = _file(given)
    if file is not None:
        return dict(_values(file)["data"])
    data = given.get("data") if isinstance(given, Mapping) else None
    return dict(data) if isinstance(data, Mapping) else {}


def _values(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json")


def _file(given: Given) -> Config | None:
    if isinstance(given, Config):
        return given
    return load_config(given) if isinstance(given, str | Path) else None


def _flat(given: Any, place: str = "") -> list[str]:
    """Nested values as overrides ``key=value``; nothing for what is no mapping."""
    if not isinstance(given, Mapping):
        if given is None or isinstance(given, Config | str | Path):
            return []
        raise UsageError(
            f"E-API-021: config is a {type(given).__name__}, expected the path or name of an experiment file, a dict "
            "with the same keys, or None; correct it"
        )
    found = []
    for key, value in given.items():
        name = f"{place}{key}"
        if isinstance(value, Mapping):
            found += _flat(value, f"{name}.")
        else:
            try:
                found.append(f"{name}={json.dumps(value, default=_plain, ensure_ascii=False)}")  # JSON is YAML
            except (TypeError, ValueError) as error:
                raise UsageError(
                    f"E-API-021: {name} is a {type(value).__name__}, expected plain values (text, numbers, lists); "
                    "correct it"
                ) from error
    return found


def _plain(value: Any) -> Any:
    """NumPy's numbers and paths, which a search over parameters may hand in."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no plain value")
