"""WAT files or Parquet pools into pairs of address and text.

`spark-submit --py-files dist/bicurate.zip jobs/extract.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("extract", sys.argv[1:]))
