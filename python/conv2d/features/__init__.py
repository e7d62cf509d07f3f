"""Features of windows: simple statistics for the baselines, and the contract of the codes (``fsq_contract``)."""
