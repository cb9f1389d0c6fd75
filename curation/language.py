"""Which language a text is in: a step of `match`, on clean text (`curation.text.clean`); no table of its own.

The rules, in this order. What is judged is the text without machine text: addresses (web, mail), file names, and ASCII words
with a digit in them go, an underscore is a space, `null` and its like or one Latin letter repeated are nothing.

1. Script. No letter is left: NO_LANGUAGE. A Hangul letter counts as 2.3 letters, the others as one (names in CLDR take 2.3
   letters in English for one syllable in Korean); shares are of this sum. Scripts other than Hangul and Latin above one half:
   OTHER_LANGUAGE, unless the run asks for a language besides en and ko. Hangul at one half or more: Korean, by its share.
2. fastText (lid.176) on what is not Hangul in it, in lower case where all is upper case, which it never learnt: its first
   label counts from `min_score` on.
3. Below, English still counts, by fastText, for text whose letters are ASCII, where ENGLISH_ODDS times its probability reaches
   the first label's: the model's own share of English (.125, its answer to a word it does not know) is far below the web's.
   A word nobody knows (`dog`) is English this way, with a score that says how little is known: the entries decide later.
4. Where rule 3 does not hold: langdetect, at .5 or more, if the text has three words or more (below, it knows 1 in 5) and the coin
   of its key is below `langdetect_share`. So no more than this share of keys is ever asked, whatever else is in the batch.
   Its probabilities are all near 1: the score is at most `min_score`.
5. Nobody is sure: NO_LANGUAGE. A sure label outside the run: OTHER_LANGUAGE.

A text with a Korean word (two Hangul letters together) and an English one (two Latin letters together) is mixed where the run
has both: Korean by its share with English by the rest, or, where Latin prevails and rules 2 to 4 say English, English by that
score with Korean by its share. The first language is the one of the higher score. Where Latin prevails but gives no language
of the run, the Korean word makes the text Korean (short brand names look like any language), unless the Latin is surely in
another language and Hangul's share is below KOREAN_MIN_SHARE.

Measured by benchmarks/language.py.
"""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from curation.errors import InputError, Reason
from curation.ids import coin
from curation.stage import file_sha256
from curation.text import script_counts

BUNDLED_MODEL = "lid.176.ftz"
HANGUL_WEIGHT = (
    2.3  # Latin letters a Hangul letter stands for: 2,324 parallel names of CLDR, English and Korean
)
ENGLISH_ODDS = (
    2.0  # what an unsure English is worth against the first label; Common Crawl's share would say 5
)
KOREAN_MIN_SHARE = 0.2  # of Hangul, beside Latin words that are surely of another language
LANGDETECT_MIN_SCORE = 0.5
LANGDETECT_MIN_WORDS = 3
LANGDETECT_MAX_CHARS = 1_000  # it is slow, and sure long before
CANDIDATES = 5  # of fastText's labels, among which English is looked for
SCORE_DIGITS = 4  # builds of fastText differ in the last bits of a float32
LABEL = "__label__"

FILE_NAME_ENDS = (
    ".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg", ".ico", ".heic", ".avif", ".psd", ".eps",
    ".pdf", ".doc", ".docx", ".xls", ".ppt", ".txt", ".zip", ".exe", ".html", ".htm", ".php", ".mp4", ".mov", ".mp3",
)  # fmt: skip
PLACEHOLDERS = frozenset({"null", "none", "nan", "undefined", "n/a", "[object object]"})
_ADDRESS_STARTS = ("http://", "https://", "www.")
_QUOTES = "\"'()[]{}<>,;:!?"
_DIGIT = re.compile("[0-9]")
_ASCII_LETTER = re.compile("[A-Za-z]")
_WORD = re.compile("[^\\W\\d_]+(?:['\u2019-][^\\W\\d_]+)*")
_HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3\uffa0-\uffdc]+")
_HANGUL_WORD = re.compile("[\uac00-\ud7a3]{2}")
_LATIN_WORD = re.compile("[A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\u024f\uff21-\uff3a\uff41-\uff5a]{2}")
_PROBE = """
import contextlib, os, resource, sys
size = os.path.getsize(sys.argv[1])
most, seconds = (1 << 30) + 8 * size, 5 + size // 10_000_000  # a broken file asks for all there is
with contextlib.suppress(ValueError, OSError):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
import fasttext
fasttext.load_model(sys.argv[1]).predict(["a"])
"""


class Verdict(NamedTuple):
    """What a text is in. Either `lang` is set, or `reason` says why the text leaves the stream."""

    lang: str | None
    """First language, one of the run's."""
    score: float
    """Confidence in `lang`, 0 to 1: the share of letters for script, else the detector's probability; 0 without letters."""
    detector: str
    """script, fasttext or langdetect: who decided, or who was asked last."""
    mixed_lang: str | None = None
    """Second language of a mixed text."""
    mixed_score: float = 0.0
    """The same for the second language, at most `score`."""
    reason: Reason | None = None
    """NO_LANGUAGE or OTHER_LANGUAGE."""


NOTHING = Verdict(None, 0.0, "script", reason=Reason.NO_LANGUAGE)


class _Latin(NamedTuple):
    """What is left of a text that its script did not decide."""

    position: int
    text: str
    key: str
    hangul_share: float
    korean_word: bool


def without_machine_text(text: str) -> str:
    """Return what people wrote of a text: no addresses, no ASCII file names or words with digits, no placeholders.

    Single spaces, no newline, underscores as spaces; linear in the length.
    """
    if text.strip().lower() in PLACEHOLDERS:
        return ""
    people_wrote = (_human_part(token) for token in text.split())
    kept = " ".join(token for token in people_wrote if token).replace("_", " ").strip()
    first = kept[:1].lower()
    return "" if len(kept) > 2 and first.isascii() and not kept.lower().strip(first) else kept


def _human_part(token: str) -> str:
    bare = token.strip(_QUOTES).lower()
    if bare.startswith(_ADDRESS_STARTS):
        return ""
    if not bare.isascii():
        return bare.rpartition(".")[0] if bare.endswith(FILE_NAME_ENDS) else token
    if bare.endswith(FILE_NAME_ENDS) or "." in bare.partition("@")[2]:
        return ""
    return "" if _DIGIT.search(bare) and _ASCII_LETTER.search(bare) else token


class LanguageIdentifier:
    """Tells the language of clean texts, by the rules of the module. Holds a model: build one a process, never pickle it."""

    def __init__(
        self,
        languages: Sequence[str],
        *,
        model_path: Path | None = None,
        min_score: float = 0.5,
        langdetect_share: float = 0.05,
        seed: int = 0,
    ) -> None:
        """Load the model: the bundled one, or the file at `model_path`.

        Raises InputError where the file is not there, is no fastText model, or does not know one of `languages`.
        """
        self.languages = frozenset(languages)
        self.min_score = min_score
        self.langdetect_share = langdetect_share
        self.seed = seed
        with _model_file(model_path) as path:
            self.model_sha256 = file_sha256(path)
            """SHA-256 of the model file, 64 hex digits."""
            self._model = _load(path, probe=model_path is not None)
        known = {label.removeprefix(LABEL) for label in self._model.get_labels()}
        unknown = sorted(self.languages - known)
        if unknown:
            raise InputError(
                f"the language model {model_path or BUNDLED_MODEL} has no label for {', '.join(unknown)}; it has "
                f"{len(known)} labels. Take lid.176.ftz or lid.176.bin, or name languages by their ISO 639-1 codes"
            )
        self._other_scripts = bool(self.languages - {"en", "ko"})

    def identify(self, text: str, key: str) -> Verdict:
        """Return the verdict on one clean text; `key` (the pair's id) is tossed for langdetect."""
        return self.identify_batch([text], [key])[0]

    def identify_batch(self, texts: Sequence[str], keys: Sequence[str]) -> list[Verdict]:
        """Return the verdicts on clean texts, each a function of its own text and key alone."""
        verdicts: list[Verdict] = [NOTHING] * len(texts)
        undecided: list[_Latin] = []
        for position, (text, key) in enumerate(zip(texts, keys, strict=True)):
            decided = self._by_script(position, without_machine_text(text), key)
            if isinstance(decided, Verdict):
                verdicts[position] = decided
            else:
                undecided.append(decided)
        for item, verdict in zip(undecided, self._by_model(undecided), strict=True):
            verdicts[item.position] = self._with_korean(item, verdict)
        return verdicts

    def _by_script(self, position: int, text: str, key: str) -> Verdict | _Latin:
        hangul, latin, other = script_counts(text)
        total = hangul * HANGUL_WEIGHT + latin + other
        if not total:
            return NOTHING
        share = round(hangul * HANGUL_WEIGHT / total, SCORE_DIGITS)
        korean_word = bool(hangul) and _HANGUL_WORD.search(text) is not None
        if share >= 0.5:
            if "ko" not in self.languages:
                return Verdict(None, share, "script", reason=Reason.OTHER_LANGUAGE)
            if korean_word and "en" in self.languages and _LATIN_WORD.search(text):
                return Verdict("ko", share, "script", "en", round(latin / total, SCORE_DIGITS))
            return Verdict("ko", share, "script")
        if other / total > 0.5 and not self._other_scripts:
            return Verdict(None, round(other / total, SCORE_DIGITS), "script", reason=Reason.OTHER_LANGUAGE)
        rest = " ".join(_HANGUL.sub(" ", text).split()) if hangul else text
        return _Latin(position, rest.lower() if rest.isupper() else rest, key, share, korean_word)

    def _by_model(self, items: Sequence[_Latin]) -> Iterator[Verdict]:
        """Yield rules 2 to 5 on texts without Hangul."""
        first = self._predict([item.text for item in items], 1)
        unsure = [n for n, labels in enumerate(first) if labels[0][1] < self.min_score]
        more = dict(zip(unsure, self._predict([items[n].text for n in unsure], CANDIDATES), strict=True))
        for n, item in enumerate(items):
            if n not in more:
                yield self._verdict(*first[n][0], "fasttext")
            else:
                yield self._unsure(item, more[n])

    def _unsure(self, item: _Latin, labels: Sequence[tuple[str, float]]) -> Verdict:
        english = dict(labels).get("en", 0.0) if "en" in self.languages else 0.0
        if english > 0 and english * ENGLISH_ODDS >= labels[0][1] and _plain_ascii(item.text):
            return Verdict("en", english, "fasttext")
        if self._goes_to_langdetect(item):
            label, score = _langdetect(item.text[:LANGDETECT_MAX_CHARS], self.seed)
            if score >= LANGDETECT_MIN_SCORE:
                return self._verdict(label, min(score, self.min_score), "langdetect")
            return Verdict(None, score, "langdetect", reason=Reason.NO_LANGUAGE)
        return Verdict(None, labels[0][1], "fasttext", reason=Reason.NO_LANGUAGE)

    def _goes_to_langdetect(self, item: _Latin) -> bool:
        return (
            count_words(item.text) >= LANGDETECT_MIN_WORDS
            and coin(item.key, self.seed, "langdetect") < self.langdetect_share
        )

    def _verdict(self, label: str, score: float, detector: str) -> Verdict:
        if label in self.languages:
            return Verdict(label, score, detector)
        return Verdict(None, score, detector, reason=Reason.OTHER_LANGUAGE)

    def _with_korean(self, item: _Latin, verdict: Verdict) -> Verdict:
        """Join the verdict on the rest of a text with its Hangul, which is less than half."""
        share = item.hangul_share
        if not item.korean_word or "ko" not in self.languages or verdict.lang == "ko":
            return verdict
        if verdict.lang is None:
            sure_of_another = verdict.reason == Reason.OTHER_LANGUAGE
            return verdict if sure_of_another and share < KOREAN_MIN_SHARE else Verdict("ko", share, "script")
        if not _LATIN_WORD.search(item.text):
            return Verdict("ko", share, "script")
        if verdict.score > share:
            return verdict._replace(mixed_lang="ko", mixed_score=share)
        return Verdict("ko", share, "script", verdict.lang, verdict.score)

    def _predict(self, texts: list[str], num_labels: int) -> list[list[tuple[str, float]]]:
        """Return fastText's first labels with their probabilities, best first; one empty label where it gives none.

        predict(str) of fasttext 0.9.3 fails on numpy 2 (it asks for an array without a copy); predict(list) works in it and
        in fasttext-community. A softmax of float32 may exceed 1.
        """
        if not texts:
            return []
        labels_a_text, scores_a_text = self._model.predict(texts, k=num_labels)
        return [
            [
                (label.removeprefix(LABEL), round(min(float(score), 1.0), SCORE_DIGITS))
                for label, score in zip(labels, scores, strict=True)
            ]
            or [("", 0.0)]
            for labels, scores in zip(labels_a_text, scores_a_text, strict=True)
        ]


@functools.lru_cache(maxsize=4)
def language_identifier(
    languages: tuple[str, ...],
    model_path: Path | None = None,
    min_score: float = 0.5,
    langdetect_share: float = 0.05,
    seed: int = 0,
) -> LanguageIdentifier:
    """Return this process's identifier for these settings: a worker builds it once."""
    return LanguageIdentifier(
        languages, model_path=model_path, min_score=min_score, langdetect_share=langdetect_share, seed=seed
    )


def count_words(text: str) -> int:
    """Return the number of words: runs of letters, held together by apostrophes and hyphens."""
    return sum(1 for _ in _WORD.finditer(text))


def _plain_ascii(text: str) -> bool:
    """Whether every letter is ASCII; quotation marks and dashes need not be."""
    hangul, latin, other = script_counts(text)
    return hangul + other == 0 and latin == len(_ASCII_LETTER.findall(text))


@contextmanager
def _model_file(model_path: Path | None) -> Iterator[Path]:
    if model_path is None:
        # On an executor the package may be a zip: fastText gets a real file while it loads.
        with resources.as_file(resources.files("curation.models") / BUNDLED_MODEL) as path:
            yield path
        return
    if not model_path.is_file():
        raise InputError(
            f"the language model {model_path} is not a file that is there; match.lid_model takes lid.176.bin or "
            "lid.176.ftz, and without it the bundled lid.176.ftz is used"
        )
    yield model_path


def _load(path: Path, *, probe: bool) -> Any:
    """Load a fastText model. A given file is tried in a process of its own, since fastText may crash on a broken one."""
    import fasttext

    if probe:
        # One thread: numpy's would each take their share of the address space that is bounded.
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE, str(path)],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
        if tried.returncode != 0:
            raise InputError(
                f"the language model {path} does not load: it is no fastText model, or broken. match.lid_model takes "
                "lid.176.bin or lid.176.ftz from fasttext.cc"
            )
    with _no_warning(fasttext.FastText):
        return fasttext.load_model(str(path))


@contextmanager
def _no_warning(module: Any) -> Iterator[None]:
    """Keep fasttext 0.9 from printing at every load that the type of model has changed; later ones have no `eprint`."""
    before = getattr(module, "eprint", None)
    if before is None:
        yield
        return
    module.eprint = lambda *_args, **_more: None
    try:
        yield
    finally:
        module.eprint = before


def _langdetect(text: str, seed: int) -> tuple[str, float]:
    """Return langdetect's first language, ISO 639-1, and its probability; an empty one where it finds no features."""
    from langdetect.lang_detect_exception import LangDetectException

    detector = _langdetect_factory(seed).create()
    detector.append(text)
    try:
        found = detector.get_probabilities()
    except LangDetectException:
        return "", 0.0
    if not found:
        return "", 0.0
    return found[0].lang.partition("-")[0], round(min(found[0].prob, 1.0), SCORE_DIGITS)


@functools.lru_cache(maxsize=4)
def _langdetect_factory(seed: int) -> Any:
    """Return a factory of our own: langdetect's is one for the process, seedless, with profiles in the file system's order."""
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    factory.load_json_profile(
        [path.read_text("utf-8") for path in sorted(Path(PROFILES_DIRECTORY).iterdir())]
    )
    factory.seed = seed  # each text starts a generator from it: the answer depends on the text alone
    return factory
