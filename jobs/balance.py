"""Choose what to download: cap the head, keep the tail.

`spark-submit --py-files dist/bicurate.zip jobs/balance.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("balance", sys.argv[1:]))
