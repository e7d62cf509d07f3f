"""Where a number comes from: data, config, seed, the code itself, versions and machine."""

import hashlib
import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import conv2d
import conv2d_core
from conv2d.config import Config

PACKAGES = ("numpy", "torch", "lightning", "scikit-learn", "pyarrow")


def provenance(config: Config, data_sha256: str, seed: int, *, simulated: bool, **further: Any) -> dict[str, Any]:
    """Facts to be stored beside a result; holds no time, so that equal runs have equal files.

    ``code_sha256`` tells two states of the package apart whose version is the same. ``cores`` are those that this
    process may use, ``torch_threads`` those that torch does use.
    """
    return {
        "conv2d": conv2d.__version__,
        "code_sha256": CODE_SHA256,
        "config_sha256": config.sha256(),
        "data_sha256": data_sha256,
        "seed": seed,
        "python": sys.version.split()[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cpu": _cpu(),
            "cores": _cores(),
            "torch_threads": torch.get_num_threads(),
        },
        "simulated": simulated,
        **further,
    }


def hash_code(package: Path, core: Path) -> str:
    """Hash of all modules below a folder, by name and content, and of the native core's file. O(bytes), some 10 ms.

    It needs no version control, so it serves an installed wheel and a working tree with changes alike. The core is
    built on each machine, so two machines may differ where their modules are the same.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(hashlib.sha256(core.read_bytes()).digest())
    return digest.hexdigest()


# Taken when the process begins: after a long training other files may lie there than those that ran.
CODE_SHA256 = hash_code(Path(conv2d.__file__).parent, Path(conv2d_core.__file__))


@cache
def _cpu() -> str:
    """Name of the processor's model; where the system does not tell, of its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.lower().startswith(("model name", "model\t"))]
    # on x86 "model" is a number, and "model name" stands below it; a Raspberry Pi has only "Model"
    return next((name for name in names if not name.isdigit()), platform.processor() or platform.machine())


def _cores() -> int:
    """Cores that this process may run on, which a container or a batch system may limit."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
