"""All stages from one TOML file, skipping what is done.

`spark-submit --py-files dist/bicurate.zip jobs/run.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("run", sys.argv[1:]))
