"""Clean the texts, tell their language, find the entries they name.

`spark-submit --py-files dist/bicurate.zip jobs/match.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("match", sys.argv[1:]))
