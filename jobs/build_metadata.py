"""Freeze the entry lists: given ones, the default, or built from dumps and WordNet.

`spark-submit --py-files dist/bicurate.zip jobs/build_metadata.py --config run.toml`; given lists need no Spark.
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("metadata", sys.argv[1:]))
