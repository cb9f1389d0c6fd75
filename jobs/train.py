"""Train a bilingual contrastive model on the selection.

`torchrun --nproc-per-node 2 jobs/train.py --config run.toml`
"""

import sys

from curation.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("train", sys.argv[1:]))
