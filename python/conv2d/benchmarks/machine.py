"""What a figure depends on besides the code, as far as the machine tells."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import conv2d
import conv2d_core

NOT_MEASURED = "NOT_MEASURED"
PEERS = ("numpy", "scipy", "hmmlearn", "torch", "bottleneck", "numba", "vector-quantize-pytorch")
_CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi


def machine_facts() -> dict[str, str]:
    """CPU, cores, clock, governor, throttle flags, temperature, load, SIMD path and the versions of peers.

    What the machine does not tell is ``"NOT_MEASURED"``.

    >>> facts = machine_facts()
    >>> facts["simd path"] in ("scalar", "neon", "avx2", "avx512")
    True
    """
    allowed = getattr(os, "sched_getaffinity", None)
    flags = _line(_THROTTLED)
    facts = {
        "conv2d": conv2d.__version__,
        "simd path": conv2d_core.simd_path(),
        "simd paths here": ", ".join(conv2d_core.simd_paths()),
        "cpu": _cpu(),
        "cores": str(len(allowed(0)) if allowed is not None else os.cpu_count() or 1),
        "governor": _line(_CPUFREQ / "scaling_governor"),
        "clock": _clock(),
        "throttled": flags if flags == NOT_MEASURED else "yes" if int(flags, 16) & 0xF else "no",
        "temperature": _temperature(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
    }
    return facts | {name: _version(name) for name in PEERS}


def is_throttled() -> bool | None:
    """Whether the processor is slowed down now; None where the machine does not tell."""
    flags = _line(_THROTTLED)
    return None if flags == NOT_MEASURED else bool(int(flags, 16) & 0xF)


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip() or NOT_MEASURED
    except (OSError, IndexError):
        return NOT_MEASURED


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), NOT_MEASURED)


def _cpu() -> str:
    names = [_cpuinfo(field) for field in ("model name", "Model")]
    return next((name for name in names if name != NOT_MEASURED), platform.processor() or platform.machine())


def _clock() -> str:
    khz = _line(_CPUFREQ / "scaling_cur_freq")
    if khz != NOT_MEASURED:
        return f"{int(khz) / 1000:.0f} MHz"
    mhz = _cpuinfo("cpu MHz")
    return mhz if mhz == NOT_MEASURED else f"{float(mhz):.0f} MHz"


def _temperature() -> str:
    thousandths = _line(Path("/sys/class/thermal/thermal_zone0/temp"))
    return thousandths if thousandths == NOT_MEASURED else f"{int(thousandths) / 1000:.1f} C"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
