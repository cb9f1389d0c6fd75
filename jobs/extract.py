"""spark-submit entry: WAT files or Parquet pools into pairs. `spark-submit --py-files bicurate.zip jobs/extract.py --config run.toml`."""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("extract", sys.argv[1:]))
