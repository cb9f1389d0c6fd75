"""What a run can be asked afterwards: the life of one pair, what two selections share, and whether all of it still holds.

Pure functions on records and tables; `curation.report.why`, `compare` and `verify` print what they find.
"""
