"""Captions to token ids: a byte-level BPE vocabulary over both languages, trained on the run's own captions.

In: captions. Out: `tokenizer.json` in the format of the `tokenizers` library, with the special tokens [PAD] < [SOT] < [EOT] last, since
the text tower pools at the highest id (KELIP and CLIP do). Byte-level: no text is out of vocabulary. Text is NFC and lower-case, so that
decomposed Hangul gives the ids of composed Hangul. Used by `curate train` and `curate evaluate`.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from curation.errors import InputError
from curation.stage import write_atomically

PAD, SOT, EOT = "[PAD]", "[SOT]", "[EOT]"
SPECIAL_TOKENS = (PAD, SOT, EOT)
MIN_MERGE_COUNT = 2  # a merge seen once says nothing of another caption


class Vocabulary:
    """A trained tokenizer; ids of the special tokens are the three highest."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.encode_special_tokens = True  # "[EOT]" inside a caption is text, never the token
        self._tokenizer = tokenizer
        self.size: int = tokenizer.get_vocab_size()
        wanted = [self.size - 3, self.size - 2, self.size - 1]
        if [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] != wanted:
            raise InputError(
                f"the tokenizer's special tokens {', '.join(SPECIAL_TOKENS)} must have the ids {wanted}: "
                f"pooling takes the highest id for the end of the text"
            )
        self.pad_id, self.sot_id, self.eot_id = wanted

    @classmethod
    def train(cls, captions: Iterable[str], size: int) -> "Vocabulary":
        """Train on captions; `size` bounds the vocabulary, special tokens included. The same captions give the same ids."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size - len(SPECIAL_TOKENS),
            min_frequency=MIN_MERGE_COUNT,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(captions, trainer)
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
        ends = [(token, tokenizer.token_to_id(token)) for token in (SOT, EOT)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{SOT} $0 {EOT}", special_tokens=ends
        )
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read a `tokenizer.json`. Raises InputError that names the file."""
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"cannot read the tokenizer {path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`, under a temporary name first."""
        write_atomically(path, self.to_json())

    def to_json(self) -> str:
        """Return the library's JSON text, which `sha256` is taken of."""
        return str(self._tokenizer.to_str(pretty=False))

    @property
    def sha256(self) -> str:
        """Hash of the JSON text, 64 hex digits: it travels with every checkpoint."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def token_ids(self, captions: Sequence[str]) -> list[list[int]]:
        """Return the ids of each caption, without special tokens, at any length."""
        encoded = self._tokenizer.encode_batch_fast(list(captions), add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def encode(self, captions: Sequence[str], context_length: int) -> np.ndarray:
        """Return int64 (N, L): [SOT] ids [EOT], cut to `context_length` with [EOT] kept, padded to the longest of them with [PAD].

        L <= context_length. What lies behind [EOT] cannot reach it through the causal mask, so padding further changes nothing.
        """
        ids = [found[: context_length - 2] for found in self.token_ids(captions)]
        tokens_NL = np.full((len(ids), max(map(len, ids), default=0) + 2), self.pad_id, dtype=np.int64)
        for row, found in zip(tokens_NL, ids, strict=True):
            row[: len(found) + 2] = [self.sot_id, *found, self.eot_id]
        return tokens_NL


def fertility(
    vocabulary: Vocabulary, captions: Mapping[str, Sequence[str]], context_length: int
) -> dict[str, dict[str, float | int]]:
    """Return, for each language: captions, tokens a word (between spaces), tokens a Hangul syllable (Korean), share cut off.

    captions: texts by language. A vocabulary that starves a language shows here before it shows in retrieval.
    """
    found: dict[str, dict[str, float | int]] = {}
    for lang, texts in sorted(captions.items()):
        lengths = [len(ids) for ids in vocabulary.token_ids(texts)]
        words = sum(len(text.split()) for text in texts)
        cut = sum(length > context_length - 2 for length in lengths)
        found[lang] = {
            "captions": len(texts),
            "tokens_per_word": round(sum(lengths) / max(words, 1), 3),
            "truncated": round(cut / max(len(texts), 1), 4),
        }
        syllables = sum(map(_hangul_syllables, texts))
        if syllables and lang == "ko":
            found[lang]["tokens_per_syllable"] = round(sum(lengths) / syllables, 3)
    return found


def _hangul_syllables(text: str) -> int:
    return sum("가" <= char <= "힣" for char in unicodedata.normalize("NFC", text))
