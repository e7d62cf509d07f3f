"""Every figure of the package, drawn from arrays: it knows no run and no file but the path it is told to save to.

The functions return a ``matplotlib.figure.Figure`` made with the object interface, so no global state of pyplot is
touched and any number of threads may draw. matplotlib is imported when a figure is drawn.
"""
