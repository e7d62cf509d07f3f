"""How fast the core is beside its peers, measured on this machine in one process: what ``conv2d bench`` runs.

Every row holds a kernel against a peer, call by call in turns, and the ratio of their medians against what is asked
of it. Peers (hmmlearn, torch, bottleneck, numba) are optional: a row whose peer is absent is NOT_MEASURED and says why.
"""

from conv2d.benchmarks.machine import machine_facts
from conv2d.benchmarks.measure import Absent, Row, compare
from conv2d.benchmarks.run import PARTS, run_benchmarks

__all__ = ["PARTS", "Absent", "Row", "compare", "machine_facts", "run_benchmarks"]
