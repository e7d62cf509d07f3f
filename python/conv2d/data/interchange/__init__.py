"""Recordings and windows from and to pandas, polars, arrow and xarray, without a file in between.

Codes of the errors, for a search (E-API-001 to -006 and -020 on are those of models and of ``Conv2dClassifier``):

===========  ==========================================================================
E-API-010    no table or array of a known kind, or the library for it is not installed
E-API-011    a column, dimension or time that is needed is not there
E-API-012    a column stands twice
E-API-013    a column, or a coordinate, of the wrong type
E-API-014    rows that do not say whose they are, or that contradict each other
E-API-015    sensors and channels do not make a grid, or differ between recordings
E-API-016    a window or a hop that is no whole number of samples above 0
E-API-017    a rate that is no number above 0
E-API-018    a class that is named twice
===========  ==========================================================================
"""
