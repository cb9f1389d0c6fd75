"""How often `curation.language` is right, on real captions and labels whose language is known, what it drops, and how fast it is.

    python benchmarks/language.py [--shared ../shared] [--names FOLDER] [--out benchmarks/results/language.json]

Texts, each once: the captions of reference_matches.parquet by their `lang`; alternative texts and titles of the pool's WAT
files, of the manuals' pages under /ko/ and /en/ and of the emoji galleries (names and keywords of CLDR), where Hangul in a
text makes it Korean and none makes it English, since the Korean manuals leave many texts in English. `--names` takes a folder
of emoji_LANG.json (the wheel of the PyPI package `emoji`, folder emoji/unicode_codes): the same names in twelve other
languages, none of which should come out as en or ko.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
from fastwarc.warc import ArchiveIterator
from machine import machine, versions

from curation import language
from curation.errors import Reason
from curation.ids import pair_id
from curation.language import LanguageIdentifier, count_words
from curation.text import clean, has_hangul, script_counts

SEED = 0
OTHER_LANGUAGES = ("ar", "de", "es", "fa", "fr", "id", "it", "ja", "pt", "ru", "tr", "zh")
SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))  # five more names for one thing
ROUNDS = 5
SMALL = 40  # texts of a set whose verdicts are all told
UNKNOWN = "unknown"  # the language of a label that nobody has labelled


def reference_texts(shared: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (set, language, text) of the reference captions."""
    table = pq.read_table(shared / "metadata" / "reference_matches.parquet", columns=["lang", "text"])
    for row in table.to_pylist():
        yield "captions", row["lang"], row["text"]


def pool_texts(shared: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (set, language, text) of all labels in the pool; UNKNOWN is the language of clip art, junk and file names."""
    for path in sorted((shared / "pool" / "wat").glob("*.wat.gz")):
        with path.open("rb") as file:
            for record in ArchiveIterator(file):
                try:
                    envelope = json.loads(record.reader.read())["Envelope"]
                    page = urlsplit(envelope["WARC-Header-Metadata"]["WARC-Target-URI"]).path.split("/")[1]
                    links = envelope["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]["Links"]
                except (ValueError, KeyError, TypeError, IndexError):
                    continue  # warcinfo, and the records that are broken on purpose
                for link in links:
                    for name in ("alt", "title") if isinstance(link, dict) else ():
                        if link.get("path") == "IMG@/src" and isinstance(link.get(name), str):
                            yield _label(page, link[name])


def _label(page: str, text: str) -> tuple[str, str, str]:
    name = text.strip().lower()
    if name.endswith(language.FILE_NAME_ENDS) and len(name.split()) == 1:
        return "pool file names", UNKNOWN, text
    if page in {"gimp", "office", "emoji"}:
        return f"pool {page}", "ko" if has_hangul(text) else "en", text
    return f"pool {page}", UNKNOWN, text


def other_names(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (set, language, text) of CLDR's names in other languages."""
    for lang in OTHER_LANGUAGES:
        names = json.loads((folder / f"emoji_{lang}.json").read_text("utf-8"))
        for emoji, name in names.items():
            if not SKIN_TONES & set(emoji):
                yield "names", lang, name.strip(":").replace("_", " ")


def measure(
    identifier: LanguageIdentifier, texts: list[tuple[str, str, str]]
) -> dict[str, dict[str, dict[str, object]]]:
    """Return, for each set and language and for all of a language, what came out; of all texts and of three words or more."""
    verdicts = identifier.identify_batch([t for _, _, t in texts], [pair_id("", t) for _, _, t in texts])
    groups: dict[str, Counter[str]] = {}
    for (source, lang, text), verdict in zip(texts, verdicts, strict=True):
        # Words without digits and file names: what can have a language.
        long = count_words(language.without_machine_text(text)) >= 3
        if lang == UNKNOWN:
            continue
        for name in (f"{source}: {lang}", f"all: {lang}") + (
            ("all",) if lang in identifier.languages else ()
        ):
            for size in ("all texts", "three words or more") if long else ("all texts",):
                count = groups.setdefault(f"{name}|{size}", Counter())
                count["texts"] += 1
                count["right"] += verdict.lang == lang
                count["wrong"] += verdict.lang not in {None, lang}
                count["dropped"] += verdict.lang is None
                count["no language"] += verdict.reason == Reason.NO_LANGUAGE
                count["other language"] += verdict.reason == Reason.OTHER_LANGUAGE
                count["mixed"] += verdict.mixed_lang is not None
                count["langdetect"] += verdict.detector == "langdetect"
    report: dict[str, dict[str, dict[str, object]]] = {}
    for key in sorted(groups):
        name, size = key.split("|")
        count = groups[key]
        shares = {what: round(count[what] / count["texts"], 4) for what in list(count)[1:]}
        report.setdefault(name, {})[size] = {"texts": count["texts"], **shares}
    return report


def verdicts_on_unknown(
    identifier: LanguageIdentifier, texts: list[tuple[str, str, str]]
) -> dict[str, dict[str, object]]:
    """Return, for each set of labels without a known language, the shares of the verdicts; of a small set each one too."""
    groups: dict[str, Counter[str]] = {}
    each: dict[str, dict[str, str]] = {}
    chosen = [(source, text) for source, lang, text in texts if lang == UNKNOWN]
    verdicts = identifier.identify_batch([t for _, t in chosen], [pair_id("", t) for _, t in chosen])
    for (source, text), verdict in zip(chosen, verdicts, strict=True):
        dropped = "no language" if verdict.reason == Reason.NO_LANGUAGE else "other language"
        groups.setdefault(source, Counter())[verdict.lang or dropped] += 1
        each.setdefault(source, {})[text[:40]] = verdict.lang or dropped
    return {
        source: {
            "texts": count.total(),
            **{what: round(number / count.total(), 4) for what, number in sorted(count.items())},
            **({"each": each[source]} if count.total() <= SMALL else {}),
        }
        for source, count in sorted(groups.items())
    }


def speeds(identifier: LanguageIdentifier, texts: list[str]) -> dict[str, int]:
    """Return texts a second of CPU time, best of some rounds: cleaning, fastText alone, and all rules."""
    keys = [pair_id("", text) for text in texts]
    latin = [text for text in texts if not has_hangul(text) and script_counts(text)[1]]
    latin = [" ".join(text.split()) for text in latin]
    works = {
        "clean": (len(texts), lambda: [clean(text) for text in texts]),
        "fasttext on Latin texts": (len(latin), lambda: identifier._model.predict(latin, k=1)),  # noqa: SLF001
        "identify_batch": (len(texts), lambda: identifier.identify_batch(texts, keys)),
    }
    return {
        name: round(number / min(_seconds(work) for _ in range(ROUNDS)))
        for name, (number, work) in works.items()
    }


def _seconds(work: object) -> float:
    begun = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - begun


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    checkout = Path(__file__).resolve().parents[1]
    parser.add_argument("--shared", type=Path, default=checkout.parent / "shared")
    parser.add_argument("--names", type=Path)
    parser.add_argument("--model", type=Path, help="another lid.176 model than the bundled one")
    parser.add_argument("--out", type=Path, default=checkout / "benchmarks" / "results" / "language.json")
    given = parser.parse_args()
    texts = {(s, lang, clean(text)) for s, lang, text in reference_texts(given.shared)}
    texts |= {(s, lang, clean(text)) for s, lang, text in pool_texts(given.shared)}
    if given.names:
        texts |= {(s, lang, clean(text)) for s, lang, text in other_names(given.names)}
    ordered = sorted((s, lang, text) for s, lang, text in texts if text)
    result: dict[str, Any] = {
        "machine": machine(),
        "versions": versions("fasttext-community", "langdetect", "numpy"),
        "seed": SEED,
        "texts": len(ordered),
    }
    for share in (0.05, 0.0, 1.0):
        identifier = LanguageIdentifier(
            ("en", "ko"), model_path=given.model, langdetect_share=share, seed=SEED
        )
        result["model_sha256"] = identifier.model_sha256
        result[f"langdetect_share {share}"] = measure(identifier, ordered)
        if share == 0.05:
            known = [text for _, lang, text in ordered if lang in {"en", "ko"}]
            result["texts a second"] = speeds(identifier, known)
            result["labels of unknown language"] = verdicts_on_unknown(identifier, ordered)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    _show(result)


def _show(result: dict[str, Any]) -> None:
    columns = ("texts", "right", "wrong", "no language", "other language", "mixed")
    for size in ("three words or more", "all texts"):
        print(f"{size:20}" + "".join(f"{column:>15}" for column in columns))
        for name, sizes in result["langdetect_share 0.05"].items():
            print(f"{name:20}" + "".join(f"{sizes.get(size, {}).get(column, 0):>15}" for column in columns))
    for name, shares in result["labels of unknown language"].items():
        print(name, json.dumps(shares, ensure_ascii=False))
    print(json.dumps(result["texts a second"]))


if __name__ == "__main__":
    main()
