"""Korean particles by the final consonant of the word before them."""

FIRST_SYLLABLE, LAST_SYLLABLE = 0xAC00, 0xD7A3
FINALS = 28  # a syllable's code is a multiple of this where it ends in a vowel
RIEUL = 8  # the final consonant that takes the particle of a vowel before "ro"

PARTICLES = {
    "이/가": ("이", "가"),
    "을/를": ("을", "를"),
    "은/는": ("은", "는"),
    "과/와": ("과", "와"),
    "으로/로": ("으로", "로"),
    "이랑/랑": ("이랑", "랑"),
}


def final_consonant(word: str) -> int:
    """Return the number of the last syllable's final consonant, 0 for none. Raises ValueError where it is not Hangul."""
    code = ord(word[-1]) if word else 0
    if not FIRST_SYLLABLE <= code <= LAST_SYLLABLE:
        raise ValueError(f"{word!r} does not end in a Hangul syllable: its particle is not known")
    return (code - FIRST_SYLLABLE) % FINALS


def with_particle(word: str, particle: str) -> str:
    """Return a word with the right one of a pair such as "이/가", which names the form after a consonant first."""
    after_consonant, after_vowel = PARTICLES[particle]
    final = final_consonant(word)
    vowel_like = final == 0 or (particle == "으로/로" and final == RIEUL)
    return word + (after_vowel if vowel_like else after_consonant)
