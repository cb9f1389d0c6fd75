"""Select among the survivors.

`spark-submit --py-files dist/bicurate.zip jobs/balance_survivors.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("balance-survivors", sys.argv[1:]))
