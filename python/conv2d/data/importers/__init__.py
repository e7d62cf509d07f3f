"""Importers: recordings in other forms, brought into the dataset folder ``conv2d-dataset/1``."""
