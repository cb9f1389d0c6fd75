"""Count again on what survived, weighted.

`spark-submit --py-files dist/bicurate.zip jobs/count_survivors.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("count-survivors", sys.argv[1:]))
