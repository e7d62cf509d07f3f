"""What is wrong with a data set, or right and misleading: found by the signal itself, before anything is trained.

`audit_dataset` makes one pass over the recordings. Each module here is a family of checks: ``timing``,
``interpolated``, ``doubled``, ``values`` (missing, stuck, saturated), ``scale`` (gravity, units), ``axes`` (gyroscope
against accelerometer), ``between_sensors``, ``orientation``, ``calibration``, ``nonwear``, ``labels`` (class table),
``label_runs`` (too short, scripts), ``contradictions``, and ``columns`` (of recordings.csv). docs/audit.md tells what
each looks for, with which thresholds and why.
"""

from conv2d.data.audit.findings import Finding
from conv2d.data.audit.run import Audit, audit_dataset

__all__ = ["Audit", "Finding", "audit_dataset"]
