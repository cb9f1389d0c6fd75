"""The data card of a sealed set, in English and Korean: Markdown with the front matter that dataset pages read.

The same facts (`curation.report.publication`) go through two templates, so the cards cannot differ in a number.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from curation.extras import missing
from curation.report.card_words import LIMITS, NAMES, SOURCES, STEPS, WORDINGS
from curation.report.facts import number
from curation.report.publication import Publication
from curation.report.visible import visible

LANGUAGES = ("en", "ko")
MAX_LINE = 400  # characters of a text that a person wrote into the configuration
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def card_name(lang: str) -> str:
    """Return the name of the card's file."""
    return f"card.{lang}.md"


def card(found: Publication, lang: str) -> str:
    """Return the card in a language, "en" or "ko". Raises MissingExtraError."""
    section = found.config.card
    context = {
        "p": _Shown(found), "card": section, "names": {code: name_of(code, lang) for code in found.languages},
        "languages": [name_of(code, lang) for code in found.languages], "steps": STEPS[lang], "sources": SOURCES[lang],
        "wordings": WORDINGS[lang], "limits": limits(found, lang), "bibtex": bibtex(found),
    }  # fmt: skip
    text = str(_environment().get_template(card_name(lang)).render(context))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


class _Shown:
    """A publication with the sums that only a card shows."""

    def __init__(self, found: Publication) -> None:
        self._found = found
        self.manifest_rows = sum(n["train"] + n["heldout"] for n in found.captions.values())
        self.selected_total = sum(n["selected"] for n in found.captions.values())
        self.image_total = next(step.rows for step in found.steps if step.key == "distinct")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)


def name_of(code: str, lang: str) -> str:
    """Return a language's name in a language; its code where we have none."""
    return NAMES[lang].get(code, code)


def limits(found: Publication, lang: str) -> list[str]:
    """Return what to keep in mind, the general first, then what this run's records add."""
    texts = LIMITS[lang]
    said = [
        texts[key]
        for key in ("texts", "content", "lists", "languages", "duplicates", "opt_outs", "links", "raw")
    ]
    if found.korean_by_spaces:
        said.append(texts["korean_by_spaces"])
    if "balance-survivors" in found.records:
        small = found.records["balance-survivors"].notes.get("margin_too_small_pairs", 0)
        if small:
            said.append(texts["margin"].format(pairs=number(small)))
    if found.cosine is not None:
        said = [text.replace("{cosine}", str(found.cosine)) for text in said]
    return said


def bibtex(found: Publication) -> str:
    """Return how to cite the set: as the publisher says, or made of what the publisher stated."""
    section = found.config.card
    if section.cite:
        return section.cite.strip().replace("```", "")
    key = re.sub(r"[^A-Za-z0-9]+", "-", found.title).strip("-").lower() or "set"
    year = section.published[:4] or (found.fetched[1][:4] if found.fetched else "")
    fields = {
        "title": f"{{{_braced(found.title)}}}", "author": _braced(" and ".join(section.creators)), "year": year,
        "version": section.version, "url": section.url, "note": f"manifest {found.manifest.digest[:16]}, made with bicurate",
    }  # fmt: skip
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _braced(text: str) -> str:
    return re.sub(r"[{}\\\n`]", " ", text).strip()


def _environment() -> Any:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise missing("the data card", "jinja2") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("curation.report", "templates"), autoescape=False, undefined=jinja2.StrictUndefined,  # noqa: S701 - Markdown; `line` escapes
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"number": number, "json": _json, "line": line, "reasons": _reasons, "size": size}
    return environment


def line(text: str) -> str:
    """Return a text as one line that Markdown shows as it is written, in a table too; addresses of the web stay links."""
    shown = visible(text, MAX_LINE)
    return shown if re.fullmatch(r"https?://[\w./~%?=&:+-]+", shown) else _MARKUP.sub(r"\\\1", shown)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _reasons(dropped: Mapping[str, int]) -> str:
    ordered = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {number(rows)}" for reason, rows in ordered)


def size(value: float) -> str:
    """Return bytes as "15.7 MB"."""
    steps = 0
    while value >= 1000 and steps < len(_UNITS) - 1:
        value, steps = value / 1000, steps + 1
    return f"{value:.1f} {_UNITS[steps]}" if steps else f"{value:.0f} B"
