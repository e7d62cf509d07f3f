"""Honest probabilities: what is fitted on held-out subjects after the network is done."""

from conv2d.calibration.temperature import TemperatureScaling

__all__ = ["TemperatureScaling"]
