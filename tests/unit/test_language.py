import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from curation import language, models
from curation.errors import InputError, Reason
from curation.ids import coin
from curation.language import LanguageIdentifier, Verdict, language_identifier, without_machine_text
from curation.text import clean

ENGLISH = [
    "A brown dog is running through the snow",
    "two girls walking in the street",
    "dog",
    "London bus",
    "THE QUICK BROWN FOX",
]
KOREAN = ["고양이가 창가에 앉아 있다", "강아지", "3마리의 새", "ㅋㅋㅋ", "강"]
OTHERS = [
    "le chat est assis sur la table", "LE CHAT EST SUR LA TABLE", "der Hund schläft auf dem Sofa", "el perro corre por el parque",
    "猫が窓辺に座っている", "一只猫坐在窗边", "кошка сидит на окне", "القط على الطاولة", "η γάτα στο παράθυρο",
]  # fmt: skip
JUNK = ["IMG_2031.jpg", "DSC00012", "http://example.com/a.jpg", "www.example.com", "a@example.com", "gnp.exe", "null", "[object Object]",
        "AAAAAAAA", "...", "12:30", "", "HASH(0x89cb06c)", "\U0001f600"]  # fmt: skip


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(("en", "ko"), langdetect_share=1.0)


def sample(shared: Path, number: int) -> list[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(shared / "metadata" / "reference_matches.parquet", columns=["text"])
    texts = table["text"].to_pylist()
    return [clean(text) for text in texts[:: max(1, len(texts) // number)]]


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_english(identifier: LanguageIdentifier, text: str) -> None:
    verdict = identifier.identify(text, text)
    assert (verdict.lang, verdict.mixed_lang, verdict.reason) == ("en", None, None)
    assert 0 < verdict.score <= 1


@pytest.mark.parametrize("text", KOREAN)
def test_hangul_is_korean_by_script(identifier: LanguageIdentifier, text: str) -> None:
    assert identifier.identify(text, text) == Verdict("ko", 1.0, "script")


@pytest.mark.parametrize("text", OTHERS)
def test_other_languages_leave_with_their_reason(identifier: LanguageIdentifier, text: str) -> None:
    verdict = identifier.identify(text, text)
    assert (verdict.lang, verdict.mixed_lang, verdict.reason) == (None, None, Reason.OTHER_LANGUAGE)


@pytest.mark.parametrize("text", JUNK)
def test_junk_has_no_language(identifier: LanguageIdentifier, text: str) -> None:
    verdict = identifier.identify(clean(text), text)
    assert (verdict.lang, verdict.score, verdict.reason) == (None, 0.0, Reason.NO_LANGUAGE)


@pytest.mark.parametrize("text", ["asdfgh qwerty zxcv", "alt='cat'", "xqzt", "ATM"])
def test_what_nobody_knows_is_never_english_with_certainty(identifier: LanguageIdentifier, text: str) -> None:
    verdict = identifier.identify(text, text)
    assert verdict.lang is None or verdict.score <= 0.5


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("삼성 Samsung 갤럭시 S24", "ko", "en"),
        ("SAMSUNG Galaxy S24 울트라 케이스", "ko", "en"),
        ("고양이cat강아지dog", "ko", "en"),
        ("Gangnam Style 강남스타일 by PSY official music video", "en", "ko"),
        ("A형 혈액", "ko", None),  # one letter is no word
        ("the letter 가 of the alphabet", "en", None),
        ("카페 Le Chat Noir", "ko", None),
        ("고양이.jpg 사진", "ko", None),
    ],
)
def test_mixed_texts_name_both_languages(
    identifier: LanguageIdentifier, text: str, first: str, second: str | None
) -> None:
    verdict = identifier.identify(text, text)
    assert (verdict.lang, verdict.mixed_lang) == (first, second)
    assert verdict.mixed_score <= verdict.score


def test_a_run_of_one_language_has_no_mixed_texts() -> None:
    text = "삼성 Samsung 갤럭시 케이스"
    assert LanguageIdentifier(("ko",)).identify(text, text).mixed_lang is None
    english = LanguageIdentifier(("en",))
    assert english.identify(text, text).reason == Reason.OTHER_LANGUAGE
    assert english.identify("Two men stand on a hill, 강남스타일", text).mixed_lang is None


def test_further_languages_are_identified_by_the_model() -> None:
    identifier = LanguageIdentifier(("en", "ko", "ja", "fr"))
    texts = ["猫が窓辺に座っている", "le chat est assis sur la table", "кошка сидит на окне", "강아지"]
    assert [v.lang for v in identifier.identify_batch(texts, texts)] == ["ja", "fr", None, "ko"]


def test_a_verdict_depends_on_its_own_text_and_key_alone(shared: Path) -> None:
    texts = [*sample(shared, 300), *ENGLISH, *KOREAN, *OTHERS, *JUNK]
    whole = LanguageIdentifier(("en", "ko"), langdetect_share=0.5).identify_batch(texts, texts)
    other = LanguageIdentifier(("ko", "en"), langdetect_share=0.5)
    assert other.identify_batch(texts[::-1], texts[::-1])[::-1] == whole
    assert [other.identify(text, text) for text in texts] == whole
    for size in (3, 10):
        pieces = [texts[n : n + size] for n in range(0, len(texts), size)]
        assert [v for piece in pieces for v in other.identify_batch(piece, piece)] == whole


def test_langdetect_is_asked_for_the_keys_of_its_coin_alone() -> None:
    text = "Steps to create a brush"  # fastText is unsure, and English is far from its first
    keys = [f"key {n}" for n in range(400)]
    for share in (0.0, 0.05, 0.3, 1.0):
        identifier = LanguageIdentifier(("en", "ko"), langdetect_share=share, seed=3)
        asked = [v.detector == "langdetect" for v in identifier.identify_batch([text] * len(keys), keys)]
        assert asked == [coin(key, 3, "langdetect") < share for key in keys]


def test_langdetect_answers_alike_every_time_and_leaves_the_library_as_it_is() -> None:
    from langdetect import DetectorFactory

    before = DetectorFactory.seed
    assert len({language._langdetect("Steps to create a brush", 0) for _ in range(5)}) == 1
    assert language._langdetect("12 34", 0) == ("", 0.0)
    assert DetectorFactory.seed is before


def test_the_reference_captions_are_told_apart(shared: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(
        shared / "metadata" / "reference_matches.parquet", columns=["lang", "text"]
    ).to_pylist()
    rows = [row for row in rows if language.count_words(without_machine_text(row["text"])) >= 3]
    texts = [clean(row["text"]) for row in rows]
    verdicts = language_identifier(("en", "ko")).identify_batch(texts, texts)
    for lang, least in (("ko", 0.99), ("en", 0.97)):
        right = [v.lang == lang for v, row in zip(verdicts, rows, strict=True) if row["lang"] == lang]
        assert sum(right) / len(right) >= least


def test_a_process_builds_one_identifier_for_equal_settings() -> None:
    assert language_identifier(("en", "ko")) is language_identifier(("en", "ko"))
    with pytest.raises(TypeError):
        pickle.dumps(language_identifier(("en", "ko")))


def test_the_licence_names_the_model_that_is_bundled(identifier: LanguageIdentifier) -> None:
    licence = Path(str(models.__file__)).with_name("LICENSE.lid176.md").read_text("utf-8")
    assert identifier.model_sha256 in licence


def test_a_given_model_is_used_and_named(identifier: LanguageIdentifier) -> None:
    path = Path(str(models.__file__)).with_name(language.BUNDLED_MODEL)
    assert LanguageIdentifier(("en",), model_path=path).model_sha256 == identifier.model_sha256


@pytest.mark.parametrize(
    "kind", ["absent", "folder", "text", "cut off", pytest.param("cut off early", marks=pytest.mark.slow)]
)
def test_a_model_that_does_not_load_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.bin"
    whole = Path(str(models.__file__)).with_name(language.BUNDLED_MODEL).read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes({"text": b"no model", "cut off": whole[: len(whole) // 2]}.get(kind, whole[:100]))
    with pytest.raises(InputError, match=r"model\.bin"):
        LanguageIdentifier(("en", "ko"), model_path=path)


def test_a_language_the_model_does_not_know_is_named() -> None:
    with pytest.raises(InputError, match="xx"):
        LanguageIdentifier(("en", "xx"))


def test_the_load_prints_nothing_and_the_warning_of_others_stays() -> None:
    said: list[str] = []
    module = SimpleNamespace(eprint=said.append)
    with language._no_warning(module):
        module.eprint("Warning : `load_model` does not return ...")
    module.eprint("kept")
    assert said == ["kept"]
    code = "from curation.language import LanguageIdentifier as L; L(('en', 'ko')).identify('dog', 'k')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout + done.stderr == b""


def test_importing_the_module_loads_no_detector() -> None:
    code = "import sys, curation.language; assert not {'fasttext', 'langdetect'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert importlib.util.find_spec("fasttext") is not None
