"""What trivial inputs tell of the label: a data set audited for leaks before any model is trained.

A model is meant to read motion. It may as well read which sensor was off, how late it is in the protocol or at what
hour the recording was made, wherever these go with the label. Each such input is given to Bayes' rule on a few bins, a
subject left out at a time, and held against chance: the same labels moved on by whole recordings of the same subject
and shifted around within each. What is constant within subjects is exchanged between them instead.

===============  =====================================================================================================
input            what is read from it; the best of these on the training subjects
===============  =====================================================================================================
sensors          which channels are missing, share of samples missing
position         share of the recording, seconds from its start, seconds to its end
time_of_day      hour, third hour
date             date, day of the week, month
recording        length, rate, order among the subject's recordings
columns          each further column of recordings.csv, but never ``split``
quality          the mean of each quality column
channel_mean     the mean of each channel: from the signal, so a floor and no leak; NaN says nothing
together         all of them but the last
===============  =====================================================================================================

Beside them stand the order of the labels (`Script`), an oracle, and the subject's identity (`Identity`), which tells
nothing across subjects and much under a random split. This looks at data only; `conv2d.evaluation.leak_audit` looks at
a fitted experiment.
"""

from conv2d.data.leaks.identity import Identity
from conv2d.data.leaks.judgement import Judgement, SubjectFigure
from conv2d.data.leaks.report import DRAWS, MIN_DRAWS, LeakReport, measure_leaks
from conv2d.data.leaks.script import Script
from conv2d.data.leaks.table import Cutting

__all__ = [
    "DRAWS", "MIN_DRAWS", "Cutting", "Identity", "Judgement", "LeakReport", "Script", "SubjectFigure", "measure_leaks",
]  # fmt: skip
