"""Joining: sensors with their own clocks, rates, offsets and gaps, brought onto one clock from separate files.

`join.join_sources` does it all; the parts are `clock` (device against host time), `breaks` (clocks that were set),
`timing` (when each row was measured), `resample` (onto the common grid) and `provenance` (what the result tells).
"""
