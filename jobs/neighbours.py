"""Search the near pairs of pictures, and measure what the search missed.

`spark-submit --py-files dist/bicurate.zip jobs/neighbours.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("neighbours", sys.argv[1:]))
