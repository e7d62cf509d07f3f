"""Where a number comes from: data, config, seed, versions and machine."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import conv2d
from conv2d.config import Config

PACKAGES = ("numpy", "torch", "lightning", "scikit-learn", "pyarrow")


def provenance(config: Config, data_sha256: str, seed: int, *, simulated: bool, **further: Any) -> dict[str, Any]:
    """Facts to be stored beside a result; holds no time, so that equal runs have equal files."""
    return {
        "conv2d": conv2d.__version__,
        "config_sha256": config.sha256(),
        "data_sha256": data_sha256,
        "seed": seed,
        "python": sys.version.split()[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "simulated": simulated,
        **further,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
