"""The demo's texts: particles that agree, articles that agree, a head and a tail, and noise that is told as noise."""

import itertools
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.demo.captions import ALT_KINDS, TITLE_KINDS, caption, english, korean
from curation.demo.chance import Chance, zipf
from curation.demo.concepts import COLOURS, OBJECTS, SIZES, draw_scene
from curation.demo.korean import PARTICLES, with_particle

SYLLABLES = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
RIEUL = "\u11af"  # as a final consonant


def ends_in_consonant(word: str) -> bool:
    """Decomposed, a syllable with a final consonant has three letters."""
    return len(unicodedata.normalize("NFD", word[-1])) == 3


@given(st.text(SYLLABLES, min_size=1, max_size=4), st.sampled_from(sorted(PARTICLES)))
def test_particles_agree_with_the_final_consonant(word: str, particle: str) -> None:
    after_consonant, after_vowel = particle.split("/")
    closed = ends_in_consonant(word)
    if particle == "으로/로" and unicodedata.normalize("NFD", word)[-1] == RIEUL:
        closed = False
    assert with_particle(word, particle) == word + (after_consonant if closed else after_vowel)


def test_a_particle_needs_a_hangul_syllable() -> None:
    for word in ("", "star", "별a"):
        with pytest.raises(ValueError, match="Hangul"):
            with_particle(word, "이/가")


@given(st.integers(0, 10**6))
def test_korean_captions_have_the_right_particle(number: int) -> None:
    chance = Chance(0)
    scene = draw_scene(chance, str(number))
    text = korean(scene, chance, str(number))
    found = re.search(re.escape(scene.thing.ko) + r"(이|가|을|를|은|는)( |$)", text)
    if found:
        assert ends_in_consonant(scene.thing.ko) == (found[1] in "이을은")
    assert scene.thing.ko in text
    assert unicodedata.is_normalized("NFC", text)


@given(st.integers(0, 10**6))
def test_english_captions_have_the_right_article_and_number(number: int) -> None:
    chance = Chance(0)
    scene = draw_scene(chance, str(number))
    text = english(scene, chance, str(number))
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text)
    assert (scene.thing.en if scene.count == 1 else scene.thing.plural) in text


@given(st.integers(0, 10**6), st.integers(0, 3), st.sampled_from(["en", "ko"]))
def test_a_wrong_text_or_spam_never_names_the_picture(number: int, seed: int, lang: str) -> None:
    chance = Chance(seed)
    scene = draw_scene(chance, f"p{number}")
    for kind in ("wrong", "spam"):
        made = caption(scene, lang, chance, f"t{number}", kinds=((kind, 1.0),))
        assert (made.kind, made.right) == (kind, False)
    named = {thing.en for thing in OBJECTS} | {thing.ko for thing in OBJECTS}
    spam = set(caption(scene, lang, chance, f"t{number}", kinds=(("spam", 1.0),)).text.split())
    assert not spam & {scene.thing.en, scene.thing.ko}
    assert len(spam & named) >= 3


def test_texts_are_a_function_of_their_key_and_every_kind_occurs() -> None:
    chance, scene = Chance(7), draw_scene(Chance(7), "p")
    made = [caption(scene, "ko", chance, f"t{n}") for n in range(2_000)]
    assert made == [caption(scene, "ko", Chance(7), f"t{n}") for n in range(2_000)]
    kinds = Counter(text.kind for text in made)
    for kind, share in ALT_KINDS:
        assert abs(kinds[kind] / 2_000 - share) < 0.035
    assert any(not unicodedata.is_normalized("NFC", text.text) for text in made)
    assert any("&" in text.text for text in made)
    assert all((text.text == "") == (text.kind == "empty") for text in made)
    assert all(text.right == (text.kind in {"clean", "mixed", "other"}) for text in made)


def test_objects_and_colours_follow_zipf() -> None:
    chance = Chance(0)
    scenes = [draw_scene(chance, f"picture {n}") for n in range(4_000)]
    things = Counter(scene.thing.en for scene in scenes)
    head, tail = things[OBJECTS[0].en], [things[thing.en] for thing in OBJECTS[-4:]]
    assert head > 600
    assert all(4 < count < head / 7 for count in tail)
    colours = Counter(scene.colour.en for scene in scenes)
    assert colours[COLOURS[0].en] > 3 * colours[COLOURS[-1].en] > 0
    assert {scene.size for scene in scenes} == set(SIZES)


@given(st.integers(1, 200), st.floats(0, 3))
def test_zipf_shares_grow_to_one_and_shrink_by_rank(n: int, exponent: float) -> None:
    cumulative = zipf(n, exponent)
    steps = [b - a for a, b in zip((0.0, *cumulative), cumulative, strict=False)]
    assert cumulative[-1] == 1.0
    assert all(one >= other - 1e-12 for one, other in itertools.pairwise(steps))


def test_shares_of_kinds_sum_to_one() -> None:
    for shares in (ALT_KINDS, TITLE_KINDS):
        assert abs(sum(share for _, share in shares) - 1) < 1e-9
