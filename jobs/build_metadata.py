"""Given entry lists into the frozen form.

`python jobs/build_metadata.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("metadata", sys.argv[1:]))
