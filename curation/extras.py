"""Libraries that only an extra installs, and the one sentence that says so where one is missing."""

from curation.errors import MissingExtraError

EXTRAS = {
    "daachorse": "fast", "faiss": "cpu", "jinja2": "report", "kiwipiepy": "metadata", "matplotlib": "report", "msgpack": "metadata",
    "mwparserfromhell": "metadata", "tokenizers": "train", "torch": "train", "wn": "metadata",
}  # fmt: skip
"""The extra of pyproject.toml that installs a module; faiss comes with [gpu] too."""


def missing(asks: str, *modules: str, more: str = "") -> MissingExtraError:
    """Return the error for modules of one extra that are not installed; to be raised where they are needed.

    asks: who needs them, in the singular, such as "stage 'train'" or a key of the configuration; more: what else can be done.
    """
    (extra,) = {EXTRAS[module] for module in modules}
    names = " and ".join(map(repr, modules))
    ending = f"; {more}" if more else ""
    return MissingExtraError(
        f"{asks} needs {names}, which the extra [{extra}] installs: pip install 'bicurate[{extra}]', or "
        f"pip install '.[{extra}]' in a checkout{ending}"
    )


def missing_network() -> MissingExtraError:
    """Return the error for an embed.kind that is a network, without torch."""
    return missing("the network of embed.kind", "torch", more="builtin needs nothing")
