"""One page to look at: report.html.

`python jobs/report.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("report", sys.argv[1:]))
