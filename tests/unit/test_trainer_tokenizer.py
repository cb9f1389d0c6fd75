import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from curation.errors import InputError
from trainer.tokenizer import Vocabulary, fertility

CAPTIONS = [
    "a red circle",
    "two red circles on grass",
    "빨간 원 두 개",
    "빨간 원이 있는 그림",
    "the old red barn",
] * 20


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.train(CAPTIONS, 400)


def test_the_end_token_has_the_highest_id_and_padding_the_lowest_of_the_three(vocabulary: Vocabulary) -> None:
    assert vocabulary.pad_id < vocabulary.sot_id < vocabulary.eot_id == vocabulary.size - 1
    assert vocabulary.size <= 400


def test_every_text_has_ids_and_no_ordinary_text_gets_a_special_one(vocabulary: Vocabulary) -> None:
    hostile = ["[EOT][SOT][PAD]", "[eot]", "\x00\x1f", "𓀀🦊", "كتاب", "İ", " ", ""]
    for ids in vocabulary.token_ids(hostile):
        assert all(0 <= token < vocabulary.pad_id for token in ids)
    assert [len(ids) > 0 for ids in vocabulary.token_ids(hostile)] == [True] * 6 + [True, False]


def test_decomposed_hangul_and_capitals_give_the_ids_of_the_composed_and_small(
    vocabulary: Vocabulary,
) -> None:
    for text in ("빨간 원 그림", "A Red CIRCLE", "Café"):
        variants = [
            unicodedata.normalize("NFD", text),
            unicodedata.normalize("NFC", text),
            text.upper(),
            text.lower(),
        ]
        assert len({tuple(ids) for ids in vocabulary.token_ids(variants)}) == 1


def test_a_long_caption_is_cut_and_keeps_its_end(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.encode(["z" * 300, "red"], 16)
    assert tokens.shape == (2, 16)
    assert tokens[:, 0].tolist() == [vocabulary.sot_id] * 2
    assert tokens[0, -1] == vocabulary.eot_id
    assert tokens[1, -1] == vocabulary.pad_id
    assert (tokens == vocabulary.eot_id).sum(axis=1).tolist() == [1, 1]


def test_rows_are_padded_to_the_longest_only(vocabulary: Vocabulary) -> None:
    assert vocabulary.encode(["red", "red red"], 16).shape[1] < 16


def test_training_gives_the_same_vocabulary_in_any_order_and_process(vocabulary: Vocabulary) -> None:
    assert Vocabulary.train(reversed(CAPTIONS), 400).sha256 == vocabulary.sha256
    root = Path(__file__).resolve().parents[2]
    code = f"from trainer.tokenizer import Vocabulary; print(Vocabulary.train({CAPTIONS!r}, 400).sha256)"
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
        )
        assert done.stdout.strip() == vocabulary.sha256


def test_a_saved_vocabulary_is_read_back_the_same(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path / "tokenizer.json")
    read = Vocabulary.load(tmp_path / "tokenizer.json")
    assert read.sha256 == vocabulary.sha256
    assert read.token_ids(["[EOT] red"]) == vocabulary.token_ids(["[EOT] red"])


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        Vocabulary.load(tmp_path / "tokenizer.json")


def test_fertility_counts_tokens_by_word_and_syllable_and_what_is_cut_off(vocabulary: Vocabulary) -> None:
    found = fertility(vocabulary, {"en": ["a red circle"], "ko": ["빨간 원", "빨간" * 40]}, 8)
    assert found["en"] == {"captions": 1, "tokens_per_word": 1.0, "truncated": 0.0}
    assert found["ko"]["truncated"] == 0.5
    assert found["ko"]["tokens_per_syllable"] > 0
