"""What stands before a colon where a title is not an article's: MediaWiki's namespaces, English and Korean, with their aliases.

Sources: the `<namespaces>` of the two Wikipedias' dumps, their documented aliases (WP, 백, 그림, 들머리, ...), and MediaWiki's
Korean localisation. English names are valid in every language's Wikipedia. `Star Wars: Episode IV` has no such name before
its colon and is an article.
"""

_ENGLISH = (
    "Media", "Special", "User", "Wikipedia", "Project", "File", "Image", "MediaWiki", "Template", "Help", "Category",
    "Portal", "Book", "Draft", "Education Program", "TimedText", "Module", "Gadget", "Gadget definition", "WikiProject",
    "Event",
)  # fmt: skip
_ENGLISH_ALONE = ("Talk", "Topic", "WP", "WT")  # with no talk namespace of their own
_KOREAN = (
    "미디어", "특수", "특수기능", "사용자", "위키백과", "프로젝트", "파일", "그림", "미디어위키", "틀", "도움말", "분류",
    "포털", "들머리", "모듈", "초안", "위키프로젝트", "소도구", "소도구 정의", "자막",
)  # fmt: skip
_KOREAN_ALONE = ("토론", "백", "백토론")


def _fold(name: str) -> str:
    """Return a namespace's name as it is compared: case, spaces and underscores do not count."""
    return "".join(name.replace("_", " ").split()).casefold()


NAMES = frozenset(
    _fold(name)
    for name in (
        *_ENGLISH,
        *_ENGLISH_ALONE,
        *(f"{name} talk" for name in _ENGLISH),
        *_KOREAN,
        *_KOREAN_ALONE,
        *(f"{name} 토론" for name in _KOREAN),
    )
)


def namespace_of(title: str) -> str | None:
    """Return the name of the namespace that a title is in, as it stands there; None for an article."""
    name, colon, _ = title.partition(":")
    return name if colon and _fold(name) in NAMES else None
