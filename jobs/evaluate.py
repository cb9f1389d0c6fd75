"""Retrieval and classification in each language, on what was held out.

`python jobs/evaluate.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("evaluate", sys.argv[1:]))
