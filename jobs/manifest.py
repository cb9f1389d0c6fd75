"""Seal the survivors: manifest and shards.

`spark-submit --py-files dist/bicurate.zip jobs/manifest.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("manifest", sys.argv[1:]))
