"""Recordings and the dataset folder: read, write, import, join, audit, simulate, cut into windows, split by subject.

Everything here needs numpy to be imported and nothing more; pyarrow and yaml are loaded when a file is touched.

Codes of the errors of this package, for a search:

===========  ==========================================================================
E-DATA-001   not a dataset folder, or a file of it that cannot be opened
E-DATA-002   ``dataset.yaml`` cannot be read, or a value of it is off
E-DATA-003   ``recordings.csv`` cannot be read, or a row of it is off
E-DATA-004   a recording's file is missing, truncated or not Parquet
E-DATA-005   a column is missing, doubled or of the wrong kind
E-DATA-006   a sensor, channel, class or recording was asked for that the data set has not
E-DATA-007   the sampling rate is not the one declared
E-DATA-008   times are missing or do not increase
E-DATA-009   a channel without any value, or with infinite values
E-DATA-010   a label that ``dataset.yaml`` does not name
E-DATA-011   a recording has another number of rows than ``recordings.csv`` says
E-DATA-012   the output exists already or cannot be written
E-DATA-013   too few subjects, or a subject in two splits
E-DATA-015   a correction names a column or flag that the data set has not
E-DATA-016   a file to be imported is not what its format or its mapping says
E-DATA-017   the mapping of an import is off
E-DATA-018   a device's file cannot be read or holds no sample, or the reader is not installed
E-DATA-019   a file of annotations, or its mapping, does not fit the data set
E-DATA-020   clocks cannot be brought together: no line through their times, or no time in common
E-DATA-021   the mapping of a join is off
E-DATA-022   an audit cannot be made
E-DATA-023   what a leak audit is to predict is not there, or cannot be predicted across subjects
E-SIM-001    a parameter of the simulation is out of range
E-SIM-002    a defect to be simulated is unknown, named twice, or needs more subjects
===========  ==========================================================================
"""

from conv2d.data.dataset import Dataset
from conv2d.data.recording import Recording
from conv2d.data.writer import DatasetWriter, write_dataset

__all__ = ["Dataset", "DatasetWriter", "Recording", "write_dataset"]
