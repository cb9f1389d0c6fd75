"""Texts about the demo's pictures as the web has them: right and wrong, in two languages and more, rough at the edges."""

import unicodedata
from dataclasses import replace
from typing import NamedTuple

from curation.demo.chance import Chance
from curation.demo.concepts import COLOURS, NUMBERS_EN, NUMBERS_KO, OBJECTS, Scene
from curation.demo.korean import with_particle
from curation.demo.words import FILE_NAMES, JUNK, OTHER_LANGUAGES, SALE, TOWNS

# Shares of the kinds among alt-texts. Nearly half say nothing of the picture or something wrong, and these name head
# entries only: they are what balance thins out.
ALT_KINDS = (
    ("clean", 0.54), ("sale", 0.20), ("wrong", 0.10), ("junk", 0.06), ("spam", 0.02), ("other", 0.03), ("empty", 0.03),
    ("mixed", 0.02),
)  # fmt: skip
TITLE_KINDS = (("clean", 0.70), ("sale", 0.22), ("junk", 0.08))
SALE_EXPONENT = 1.4  # Zipf's exponent over shops' phrases: the first makes up more than a third of them
HEAD_OBJECTS = 5  # wrong and spam texts name these
TYPO_SHARE, NFD_SHARE, ENTITY_SHARE, SPACE_SHARE = 0.04, 0.03, 0.03, 0.02
CASES = (("as is", 0.73), ("sentence", 0.17), ("title", 0.06), ("upper", 0.04))

# (template, share); {np} "a red star", {bare} "red star", {on} "on a blue background", {ground} "blue background"
TEMPLATES_EN = (
    ("{np} {on}", 0.22), ("{np}", 0.16), ("{bare}", 0.14), ("{bare} clip art", 0.11), ("{noun}", 0.08),
    ("{bare}, {ground}", 0.08), ("picture of {np}", 0.07), ("{np} with {ground}", 0.05), ("drawing of {np} {on}", 0.04),
    ("{bare} icon", 0.03), ("{np} in {town}", 0.02),
)  # fmt: skip
# particles hide a noun from a matcher that asks for spaces: about a third of these templates have one on the object
TEMPLATES_KO = (
    ("{ground}의 {bare}", 0.18), ("{bare}", 0.16), ("{counted}", 0.14), ("{bare_subject} 있는 그림", 0.11),
    ("{bare} 그림", 0.09), ("{ground}에 있는 {counted}", 0.08), ("{noun}", 0.06), ("{bare_object} 그린 그림", 0.05),
    ("{colour_noun} {noun}", 0.05), ("{topic} {colour_noun}", 0.04), ("{bare} 아이콘", 0.02), ("{town}에서 그린 {bare}", 0.02),
)  # fmt: skip
SHORT_EN = (("{bare}", 0.4), ("{noun}", 0.3), ("{bare} clip art", 0.2), ("{np}", 0.1))
SHORT_KO = (("{bare}", 0.5), ("{noun}", 0.25), ("{bare} 그림", 0.25))


class Caption(NamedTuple):
    """A text beside a picture: its language (en, ko, mixed, fr, de, ja, none), its kind, and whether it names the picture rightly."""

    text: str
    lang: str
    kind: str
    right: bool


def _article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _ground_en(scene: Scene) -> str:
    return scene.ground.en.format(en=scene.ground_colour.en)


def english(scene: Scene, chance: Chance, key: str, *, short: bool = False) -> str:
    """Return an English text that names the scene."""
    template = chance.weighted(f"{key}/template", SHORT_EN if short else TEMPLATES_EN)
    single = scene.count == 1
    noun = scene.thing.en if single else scene.thing.plural
    bare = f"{scene.colour.en} {noun}"
    counted = bare if single else f"{NUMBERS_EN[scene.count - 1]} {bare}"
    takes_article = single and scene.thing.en != "glasses"
    ground = _ground_en(scene)
    where = "in" if scene.ground.key == "meadow" else "on"
    return template.format(
        np=_article(bare) if takes_article else counted,
        bare=bare,
        noun=noun,
        ground=ground,
        on=f"{where} {_article(ground)}",
        town=chance.ranked(f"{key}/town", TOWNS["en"], 0.5),
    )


def korean(scene: Scene, chance: Chance, key: str, *, short: bool = False) -> str:
    """Return a Korean text that names the scene, its particles chosen by the final consonant."""
    template = chance.weighted(f"{key}/template", SHORT_KO if short else TEMPLATES_KO)
    noun = scene.thing.ko
    bare = f"{scene.colour.ko} {noun}"
    return template.format(
        bare=bare,
        counted=f"{bare} {NUMBERS_KO[scene.count - 1]} {scene.thing.counter}",
        bare_subject=with_particle(bare, "이/가"),
        bare_object=with_particle(bare, "을/를"),
        topic=with_particle(noun, "은/는"),
        noun=noun,
        colour_noun=scene.colour.ko_noun,
        ground=scene.ground.ko.format(ko=scene.ground_colour.ko),
        town=chance.ranked(f"{key}/town", TOWNS["ko"], 0.5),
    )


def _named(scene: Scene, lang: str, chance: Chance, key: str, *, short: bool = False) -> str:
    return (korean if lang == "ko" else english)(scene, chance, key, short=short)


def _other(scene: Scene, chance: Chance, key: str) -> Caption:
    lang = chance.pick(f"{key}/language", sorted(OTHER_LANGUAGES))
    template, things, colours = OTHER_LANGUAGES[lang]
    thing = things.split("|")[OBJECTS.index(scene.thing)]
    text = template.format(thing=thing, colour=colours.split("|")[COLOURS.index(scene.colour)])
    return Caption(text, lang, "other", right=True)


def _mixed(scene: Scene, chance: Chance, key: str) -> Caption:
    parts = [korean(scene, chance, key, short=True), english(scene, chance, key, short=True)]
    first, second = chance.shuffled(f"{key}/order", parts)
    return Caption(
        chance.pick(f"{key}/form", ("{} {}", "{} ({})", "{} / {}")).format(first, second),
        "mixed",
        "mixed",
        right=True,
    )


def _wrong(scene: Scene, lang: str, chance: Chance, key: str) -> Caption:
    """Return a text that names another thing, mostly the commonest ones."""
    things = [thing for thing in OBJECTS[:HEAD_OBJECTS] if thing != scene.thing]
    thing, colour = chance.ranked(f"{key}/thing", things, 1.7), chance.ranked(f"{key}/colour", COLOURS, 1.5)
    other = replace(scene, thing=thing, colour=colour, count=1)
    return Caption(_named(other, lang, chance, key, short=True), lang, "wrong", right=False)


def _spam(scene: Scene, lang: str, chance: Chance, key: str) -> Caption:
    """Return a list of what people search for; the picture's own thing is not in it."""
    things = [thing for thing in OBJECTS[:HEAD_OBJECTS] if thing != scene.thing]
    chosen = chance.shuffled(f"{key}/things", things)[: 3 + int(chance.at(f"{key}/number") * 3)]
    words = [thing.ko if lang == "ko" else thing.en for thing in chosen]
    return Caption(
        " ".join([chance.ranked(f"{key}/sale", SALE[lang], SALE_EXPONENT), *words]), lang, "spam", right=False
    )


def _junk(lang: str, chance: Chance, key: str) -> Caption:
    if chance.happens(f"{key}/file", 0.5):
        number = int(chance.at(f"{key}/number") * 10_000)
        return Caption(
            chance.pick(f"{key}/name", FILE_NAMES).format(number, number // 2), "none", "junk", right=False
        )
    return Caption(chance.pick(f"{key}/word", JUNK[lang]), "none", "junk", right=False)


def caption(
    scene: Scene, lang: str, chance: Chance, key: str, *, kinds: tuple[tuple[str, float], ...] = ALT_KINDS
) -> Caption:
    """Return the text of one attribute of one link to a picture, on a page in `lang` (en or ko)."""
    kind = chance.weighted(f"{key}/kind", kinds)
    if kind == "empty":
        return Caption("", "none", "empty", right=False)
    if kind == "junk":
        return _junk(lang, chance, key)
    if kind == "sale":
        return Caption(chance.ranked(f"{key}/sale", SALE[lang], SALE_EXPONENT), lang, "sale", right=False)
    if kind == "spam":
        return _spam(scene, lang, chance, key)
    if kind == "other":
        return _other(scene, chance, key)
    if kind == "mixed":
        return _mixed(scene, chance, key)
    clean = _wrong(scene, lang, chance, key) if kind == "wrong" else None
    made = clean or Caption(_named(scene, lang, chance, key), lang, "clean", right=True)
    return made._replace(text=roughen(made.text, lang, chance, key))


def roughen(text: str, lang: str, chance: Chance, key: str) -> str:
    """Return a text as it reaches a crawler: with typos, casing, entities, spaces and decomposed Hangul in a share of them."""
    if chance.happens(f"{key}/typo", TYPO_SHARE):
        text = _typo(text, chance, key)
    if lang == "en":
        case = chance.weighted(f"{key}/case", CASES)
        text = {
            "as is": text,
            "sentence": text[0].upper() + text[1:],
            "title": text.title(),
            "upper": text.upper(),
        }[case]
    if chance.happens(f"{key}/entity", ENTITY_SHARE):
        last = f"{text[:-1]}&#{ord(text[-1])};"
        text = chance.pick(
            f"{key}/entity form", (f"&quot;{text}&quot;", f"{text} &amp; more", last, f"{text}&nbsp;")
        )
    if chance.happens(f"{key}/space", SPACE_SHARE):
        text = chance.pick(
            f"{key}/space form", (f"  {text}", f"{text}\n", text.replace(" ", "  "), f"\n\t{text} ")
        )
    if lang == "ko" and chance.happens(f"{key}/nfd", NFD_SHARE):
        text = unicodedata.normalize("NFD", text)
    return text


def _typo(text: str, chance: Chance, key: str) -> str:
    """Return the text with two neighbours swapped, one character doubled or one left out."""
    at = int(chance.at(f"{key}/typo at") * (len(text) - 1))
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :] if len(text) > 1 else text
    options = (swapped, text[: at + 1] + text[at:], text[:at] + text[at + 1 :])
    return chance.pick(f"{key}/typo form", options) or text
