"""Zero-shot classification: which class's name, put into templates, is nearest to a picture. One JSON file a set, any languages.

    {"name": "shapes",
     "languages": {"en": {"labels": {"circle": ["circle", "disc"], "square": ["square"]},
                          "templates": ["a photo of a {}."]},
                   "ko": {"labels": {"circle": ["원"], "square": ["정사각형"]},
                          "templates": ["{}의 사진.", "{}을(를) 찍은 사진."]}},
     "images": {"file": "shapes.parquet", "key": "url"}}

labels: class to the names it goes by; every language names the same classes. templates: `{}` is the name's place; a Korean
particle after it may be written in both forms, `을(를)`, `은(는)`, `이(가)`, `(이)가`, `과(와)`, `(으)로`, `(이)라`, and is chosen by the name's last
sound. images.file, relative to the JSON: the truth, as Parquet with a column named by `key` (`url` or `image_id`) and a column
`class`; or as JSON, an object from key to class. A picture whose addresses have several classes is right with any of them.
"""

# C classes, N pictures, D shared space

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from curation.errors import InputError

KEYS = ("image_id", "url")
_FORMS = {
    "을(를)": ("을", "를"),
    "를(을)": ("을", "를"),
    "은(는)": ("은", "는"),
    "는(은)": ("은", "는"),
    "이(가)": ("이", "가"),
    "가(이)": ("이", "가"),
    "(이)가": ("이", "가"),
    "과(와)": ("과", "와"),
    "와(과)": ("과", "와"),
}  # as written in a template: after a consonant, after a vowel
_PARTICLE = re.compile("|".join([*map(re.escape, _FORMS), r"\(으\)로", r"\(이\)"]))
_CLOSED_DIGITS, _CLOSED_LETTERS = (
    "013678",
    "lmnr",
)  # read aloud in Korean they end in a consonant: il, sam, el, em
RIEUL, NO_FINAL = 8, 0  # of the 28 finals of a Hangul syllable
VectorsOf = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class ClassSet:
    """A set of classes with its truth."""

    name: str
    classes: list[str]
    labels: dict[str, dict[str, list[str]]]
    """Names of each class, by language."""
    templates: dict[str, list[str]]
    """Templates by language."""
    key: str
    """What the truth is keyed by: image_id or url."""
    truth: dict[str, str]
    """Class by key."""


def load_classes(path: Path) -> ClassSet:
    """Read a JSON file of this module's form. Raises InputError that names the file and what is wrong with it."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        languages, images = given["languages"], given["images"]
        labels = {lang: dict(part["labels"]) for lang, part in languages.items()}
        templates = {lang: list(part["templates"]) for lang, part in languages.items()}
        truth = _truth(path.parent / images["file"], images["key"])
        name = str(given["name"])
    except KeyError as error:
        raise InputError(f"{path} lacks {error}; see the form in trainer/classes.py") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a set of classes: {error}; see the form in trainer/classes.py"
        ) from error
    classes = sorted({name for part in labels.values() for name in part})
    for lang, part in labels.items():
        if sorted(part) != classes or not all(part.values()):
            lacking = [name for name in classes if not part.get(name)]
            raise InputError(
                f"{path}: language {lang!r} has no name for {lacking[:5]}; all languages name all classes"
            )
        if not templates[lang] or any("{}" not in template for template in templates[lang]):
            raise InputError(
                f"{path}: every template of {lang!r} must hold {{}}, the name's place: {templates[lang]}"
            )
    unknown = sorted(set(truth.values()) - set(classes))
    if unknown:
        raise InputError(f"{path}: the pictures have classes without a name: {unknown[:5]}")
    return ClassSet(name, classes, labels, templates, images["key"], truth)


def truth_file(path: Path) -> Path:
    """Return the file of the truth that a set's JSON names. Raises InputError."""
    load_classes(path)
    return path.parent / str(json.loads(path.read_text(encoding="utf-8"))["images"]["file"])


def _truth(file: Path, key: str) -> dict[str, str]:
    if key not in KEYS:
        raise ValueError(f"images.key is {key!r}, allowed are {' and '.join(KEYS)}")
    if file.suffix == ".json":
        return {str(item): str(name) for item, name in json.loads(file.read_text(encoding="utf-8")).items()}
    table = pq.read_table(file, columns=[key, "class"])
    return dict(zip(table[key].to_pylist(), table["class"].to_pylist(), strict=True))


def fill(template: str, name: str) -> str:
    """Return the template with a name in it, and the particle right after it in the form that the name's last sound asks for."""
    first, *others = template.split("{}")
    return first + "".join(name + _with_particle(part, name) for part in others)


def _with_particle(part: str, name: str) -> str:
    match = _PARTICLE.match(part)
    return _particle(match[0], name) + part[match.end() :] if match else part


def _particle(written: str, name: str) -> str:
    final = final_sound(name)
    if written == "(으)로":
        return "로" if final in {NO_FINAL, RIEUL} else "으로"
    if written == "(이)":
        return "" if final == NO_FINAL else "이"
    after_consonant, after_vowel = _FORMS[written]
    return after_vowel if final == NO_FINAL else after_consonant


def final_sound(name: str) -> int:
    """Return the index of the final consonant of a name's last syllable, 0 for none.

    Digits and the Latin letters l, m, n, r count by how they are read aloud in Korean; other letters as open; marks at the end do not count.
    """
    last = next((char for char in reversed(name) if char.isalnum()), "")
    if "가" <= last <= "힣":
        return (ord(last) - ord("가")) % 28
    if last and last in _CLOSED_DIGITS + _CLOSED_LETTERS + _CLOSED_LETTERS.upper():
        return RIEUL if last in "178lrLR" else 1
    return NO_FINAL


def truth_of_pictures(
    classes: ClassSet, image_ids: Sequence[str], urls: Mapping[str, Sequence[str]]
) -> dict[int, set[int]]:
    """Return the classes of each picture that has any, by index. urls: addresses by image_id."""
    place = {name: index for index, name in enumerate(classes.classes)}
    found: dict[int, set[int]] = {}
    for index, image_id in enumerate(image_ids):
        keys = [image_id] if classes.key == "image_id" else urls[image_id]
        held = {place[classes.truth[key]] for key in keys if key in classes.truth}
        if held:
            found[index] = held
    return found


def classify(
    classes: ClassSet, lang: str, image_ND: np.ndarray, truth: Mapping[int, set[int]], vectors: VectorsOf
) -> dict[str, Any]:
    """Return accuracy of the nearest class, chance, number of pictures and of classes, in one language.

    A class's vector is the mean of its names' in all templates, normalised again (Radford et al. 2021, section 3.1.4).
    """
    rows = sorted(truth)
    weights_CD = np.stack([_class_vector(classes, lang, name, vectors) for name in classes.classes])
    nearest = (image_ND[rows] @ weights_CD.T).argmax(axis=1)
    right = [int(guess) in truth[row] for row, guess in zip(rows, nearest, strict=True)]
    expected = [len(truth[row]) / len(classes.classes) for row in rows]
    return {
        "items": len(rows),
        "classes": len(classes.classes),
        "accuracy": round(float(np.mean(right)), 6) if rows else None,
        "chance": round(float(np.mean(expected)), 6) if rows else None,
    }


def _class_vector(classes: ClassSet, lang: str, name: str, vectors: VectorsOf) -> np.ndarray:
    texts = [
        fill(template, label) for label in classes.labels[lang][name] for template in classes.templates[lang]
    ]
    mean = vectors(texts).mean(axis=0)
    unit: np.ndarray = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return unit
