"""What can go wrong, by whose hand: every error that a user sees is one sentence and maps to one exit code.

A message says what was got, what was expected and what to do; a code such as ``E-DATA-003`` leads a search.
"""


class Conv2dError(Exception):
    """Base of every error that the package raises on purpose; the command line ends with ``exit_code``."""

    exit_code = 1


class UsageError(Conv2dError, ValueError):
    """The call itself is off: a flag, an argument, verbs out of order (exit code 2)."""

    exit_code = 2


class ConfigError(UsageError):
    """The experiment file is off: an unknown key, a value out of range (exit code 2)."""


class DataError(Conv2dError, ValueError):
    """The recordings or files given cannot be used as they are (exit code 3)."""

    exit_code = 3


class GateFailed(Conv2dError):
    """A measured figure misses its gate, or an audit found a leak (exit code 4)."""

    exit_code = 4


class NotMeasurable(Conv2dError):
    """What was asked for cannot be measured on this machine or these data (exit code 5)."""

    exit_code = 5
