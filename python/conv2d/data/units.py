"""Units that importers convert: data sets hold m/s^2 and rad/s unless their ``units`` say otherwise."""

GRAVITY = 9.80665  # m/s^2 in one g, by definition
RADIANS = 0.017453292519943295  # rad in one degree, pi / 180
