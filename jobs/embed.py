"""Compute the descriptors of the pictures.

`spark-submit --py-files dist/bicurate.zip jobs/embed.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("embed", sys.argv[1:]))
