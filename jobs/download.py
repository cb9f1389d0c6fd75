"""Fetch the pictures, guarded; every address gets an outcome.

`spark-submit --py-files dist/bicurate.zip jobs/download.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("download", sys.argv[1:]))
