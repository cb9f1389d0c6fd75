"""Count the matches of each entry.

`spark-submit --py-files dist/bicurate.zip jobs/count.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("count", sys.argv[1:]))
