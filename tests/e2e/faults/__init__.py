"""Faults on purpose: kills, full disks, limits, two builds at once, mutated files, a hub that misbehaves.

`python -m tests.e2e.faults` runs them all and writes benchmarks/faults.md; one kind with its name behind it. A run
that was stopped goes on where it was: every case that was tried stands in .dvc/tmp/faults, by the state of the code.
"""
