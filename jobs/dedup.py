"""Find copies and near-duplicates; survivors inherit the captions.

`spark-submit --py-files dist/bicurate.zip jobs/dedup.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("dedup", sys.argv[1:]))
