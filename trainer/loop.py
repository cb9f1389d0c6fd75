"""The training loop: captions in, weights out. Reads top to bottom in `train`; `trainer.learner` takes a step.

A step is a function of the checkpoint before it, so a run that was stopped at any step ends with the same weights, on a CPU to the bit.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation.canonical import as_record
from curation.config import TrainSection
from curation.ids import coins
from trainer.checkpoint import TOKENIZER, finish, load_latest, save_step, sweep
from trainer.data import Batches
from trainer.learner import Learner, merged_failures
from trainer.manifest import Captions
from trainer.metrics import Metrics
from trainer.model import ModelShape
from trainer.processes import Group
from trainer.tokenizer import Vocabulary, fertility

FERTILITY_CAPTIONS = 20_000  # a language, for the note on the vocabulary
NAMED_FAILURES = 20  # pictures that could not be decoded, by name in the record


def train(
    section: TrainSection,
    captions: Captions,
    out: Path,
    group: Group,
    *,
    manifest_sha256: str,
    after_step: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Train from the last checkpoint in `out`, or from the start; write `final.pt` and return what the record notes.

    after_step: called with the number of steps done, after each. Raises StageError, with the step, where the loss is no number.
    """
    torch.set_num_threads(section.threads)
    if group.leads:
        sweep(out)
    # ---- vocabulary and data; the vocabulary is a barrier
    vocabulary = make_vocabulary(section, captions, out, group)
    batches = Batches(captions, vocabulary, section, group.rank, group.world)
    belongs = {"tokenizer_sha256": vocabulary.sha256, "manifest_sha256": manifest_sha256}
    # ---- model
    learner = Learner(section, ModelShape.of(section, vocabulary.size), group, batches.languages)
    first = learner.resume(load_latest(out, belongs), batches)
    # ---- steps
    with (
        closing(batches),
        Metrics(out / "metrics.jsonl", section, group, batches.languages, first) as metrics,
    ):
        for step, batch in enumerate(batches.iterate(first, section.steps), start=first):
            learner.learn(batch, step)
            done = step + 1
            if done % section.log_every == 0 or done == section.steps:
                metrics.log(done, learner.window, learner.lr_at(step), learner.scale)
            if done % section.checkpoint_every == 0 or done == section.steps:
                state = learner.state(done, batches)
                if group.leads:
                    save_step(state | belongs, out)
            after_step(done)
    # ---- end
    failures = merged_failures(batches, group)
    if group.leads:
        finish(learner.model, out, {"step": section.steps, "config": as_record(section)} | belongs)
    results = metrics.final | {
        "decode_failures": len(failures),
        "undecodable": dict(sorted(failures.items())[:NAMED_FAILURES]),
        "resumed_at_step": first,
    }
    return results | learner.notes() | _data_notes(section, captions, vocabulary)


def _data_notes(section: TrainSection, captions: Captions, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what the record says of pairs, pictures and vocabulary."""
    langs = np.array(captions.langs)
    rows = {str(lang): np.flatnonzero(langs == lang) for lang in np.unique(langs)}
    texts = {lang: captions.text_of(found[:FERTILITY_CAPTIONS]) for lang, found in rows.items()}
    return {
        "pairs_seen": section.steps * section.batch_size,
        "epochs": round(section.steps * section.batch_size / len(captions), 3),
        "selected": {lang: len(found) for lang, found in rows.items()},
        "pictures": len(captions.pictures),
        "vocabulary": {
            "size": vocabulary.size,
            "sha256": vocabulary.sha256,
            "fertility": fertility(vocabulary, texts, section.context_length),
        },
    }


def make_vocabulary(section: TrainSection, captions: Captions, out: Path, group: Group) -> Vocabulary:
    """Return the run's vocabulary; process 0 trains and writes it, unless a stopped run has."""
    path = out / TOKENIZER
    if group.leads and not path.is_file():
        chosen = np.argsort(coins(captions.pair_ids, section.train_seed, "vocabulary"), kind="stable")
        chosen = np.sort(chosen[: section.vocab_captions])
        Vocabulary.train(captions.text_of(chosen), section.vocab_size).save(path)
    group.share()  # nobody reads before it is written
    return Vocabulary.load(path)
