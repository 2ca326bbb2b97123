"""How fast the package is, beside its peers and the limit of the machine: `python benchmarks/speed.py`."""
