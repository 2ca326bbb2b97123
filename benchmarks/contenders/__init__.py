"""One file for each contender: the same training step as a good user of each library writes it.

A contender is a class as `common.Contender` describes it; its file ends with `COMMANDS = commands(TheClass)`, and
`CONTENDERS` in `benchmarks/training_steps.py` lists it.
"""
