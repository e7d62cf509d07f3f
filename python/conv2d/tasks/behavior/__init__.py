"""Behaviour timelines from windows of motion sensors: windows, codes, probabilities, segments."""
