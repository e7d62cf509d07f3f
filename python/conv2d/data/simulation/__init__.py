"""The parts of the simulator: animals, their bouts and movement, what sensors make of it, and who annotates it.

`conv2d.data.simulate` puts them together. Every random effect draws from a generator of its own (`randomness`), so
that one can be switched off without touching the others.
"""
