"""How to curate: pure functions on Arrow and numpy, and in `curation.spark` the jobs that map them over tables."""

__version__ = "0.1.0"
