"""Measurements of ccrelay beside nginx: `python -m bench`. Method: `bench/README.md`."""
