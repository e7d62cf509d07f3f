"""Proof by subject: protocols, baselines, the leak audit and the report."""
