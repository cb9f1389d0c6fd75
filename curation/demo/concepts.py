"""What the demo's pictures show, with its names in English and Korean, and the scenes drawn by chance.

Objects and colours stand in the order of Zipf's law: the first is the head, the last the tail.
"""

from dataclasses import dataclass
from typing import NamedTuple

from curation.demo.chance import Chance

Rgb = tuple[int, int, int]


class Thing(NamedTuple):
    """An object: English singular and plural, Korean noun and the Korean word that counts it."""

    en: str
    plural: str
    ko: str
    counter: str


class Colour(NamedTuple):
    """A colour: English name, Korean before a noun, Korean as a noun, and how it is drawn."""

    en: str
    ko: str
    ko_noun: str
    rgb: Rgb


class Ground(NamedTuple):
    """A background: English and Korean phrases; {en} and {ko} stand for the colour of a plain one."""

    key: str
    en: str
    ko: str


OBJECTS = (
    Thing("star", "stars", "별", "개"),
    Thing("heart", "hearts", "하트", "개"),
    Thing("cat", "cats", "고양이", "마리"),
    Thing("flower", "flowers", "꽃", "송이"),
    Thing("car", "cars", "자동차", "대"),
    Thing("tree", "trees", "나무", "그루"),
    Thing("house", "houses", "집", "채"),
    Thing("fish", "fish", "물고기", "마리"),
    Thing("moon", "moons", "달", "개"),
    Thing("sun", "suns", "태양", "개"),
    Thing("cup", "cups", "컵", "개"),
    Thing("cloud", "clouds", "구름", "개"),
    Thing("umbrella", "umbrellas", "우산", "개"),
    Thing("boat", "boats", "돛단배", "척"),
    Thing("crown", "crowns", "왕관", "개"),
    Thing("key", "keys", "열쇠", "개"),
)

COLOURS = (
    Colour("red", "빨간", "빨간색", (220, 30, 35)),
    Colour("blue", "파란", "파란색", (35, 80, 215)),
    Colour("yellow", "노란", "노란색", (250, 215, 20)),
    Colour("green", "초록", "초록색", (25, 150, 55)),
    Colour("black", "검은", "검은색", (20, 20, 24)),
    Colour("white", "하얀", "하얀색", (250, 250, 250)),
    Colour("pink", "분홍", "분홍색", (250, 125, 185)),
    Colour("orange", "주황", "주황색", (250, 130, 15)),
    Colour("purple", "보라", "보라색", (125, 40, 165)),
    Colour("brown", "갈색", "갈색", (120, 70, 30)),
)

GROUNDS = (
    Ground("plain", "{en} background", "{ko} 배경"),
    Ground("striped", "striped background", "줄무늬 배경"),
    Ground("meadow", "green meadow", "푸른 들판"),
    Ground("dotted", "dotted background", "물방울무늬 배경"),
    Ground("gradient", "gradient background", "그라데이션 배경"),
)
TRANSPARENT = Ground("transparent", "transparent background", "투명 배경")

NUMBERS_EN = ("a", "two", "three", "four")
NUMBERS_KO = ("한", "두", "세", "네")

OBJECT_EXPONENT = 0.9  # Zipf's exponent over objects: the first has 12 times the pictures of the last
COLOUR_EXPONENT = 0.7
GROUND_EXPONENT = 1.5
COUNT_SHARES = ((1, 0.88), (2, 0.07), (3, 0.03), (4, 0.02))
SIZES = ((64, 64), (80, 80), (96, 96), (96, 72), (112, 84), (128, 96), (72, 96), (112, 112), (128, 128))
KINDS = (("jpeg90", 0.40), ("jpeg75", 0.28), ("jpeg60", 0.12), ("png", 0.14), ("alpha", 0.06))
MIN_DISTANCE = 130.0  # between the colours of object and ground, in RGB: nearer ones do not stand out


@dataclass(frozen=True)
class Scene:
    """What one picture shows, and in which size and type of file."""

    key: str
    thing: Thing
    colour: Colour
    count: int
    ground: Ground
    ground_colour: Colour
    size: tuple[int, int]
    kind: str


def ground_rgb(colour: Colour) -> Rgb:
    """Return the paler shade in which a colour is drawn behind an object, with room for light and shadow."""
    if colour.en in {"black", "white"}:
        return (44, 44, 48) if colour.en == "black" else (232, 232, 232)
    red, green, blue = (channel + (255 - channel) * 45 // 100 for channel in colour.rgb)
    return red, green, blue


def distance(one: Rgb, other: Rgb) -> float:
    """Return the Euclidean distance of two colours."""
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


def draw_scene(chance: Chance, key: str) -> Scene:
    """Return the scene of a key: object and colour by Zipf's law, count and background by their shares."""
    kind = chance.weighted(f"{key}/kind", KINDS)
    colour = chance.ranked(f"{key}/colour", COLOURS, COLOUR_EXPONENT)
    if kind == "alpha" and colour.en in {"black", "white"}:
        kind = "png"  # on a transparent ground they would vanish on a page of their own colour
    grounds = [c for c in COLOURS if c != colour and distance(ground_rgb(c), colour.rgb) >= MIN_DISTANCE]
    ground = TRANSPARENT if kind == "alpha" else chance.ranked(f"{key}/ground", GROUNDS, GROUND_EXPONENT)
    if ground.key == "meadow" and colour.en in {"green", "blue"}:
        ground = GROUNDS[0]  # they are the meadow's own colours
    return Scene(
        key=key,
        thing=chance.ranked(f"{key}/object", OBJECTS, OBJECT_EXPONENT),
        colour=colour,
        count=chance.weighted(f"{key}/count", COUNT_SHARES),
        ground=ground,
        ground_colour=chance.ranked(f"{key}/ground colour", grounds, COLOUR_EXPONENT),
        size=chance.pick(f"{key}/size", SIZES),
        kind=kind,
    )


def labels() -> dict[str, dict[str, list[str]]]:
    """Return the names of each object a language, {"en": {class: [names]}, "ko": ...}; a class is the English singular."""
    return {
        "en": {thing.en: [thing.en] for thing in OBJECTS},
        "ko": {thing.en: [thing.ko] for thing in OBJECTS},
    }


def colour_labels() -> dict[str, dict[str, list[str]]]:
    """Return the names of each colour a language, as `labels` does; a class is the English name."""
    return {
        "en": {colour.en: [colour.en] for colour in COLOURS},
        "ko": {colour.en: list(dict.fromkeys([colour.ko, colour.ko_noun])) for colour in COLOURS},
    }
