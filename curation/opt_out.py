"""Whether an answer's `X-Robots-Tag` forbids use for training: step download.

A header's value is a comma list of directives, each scope opened by a user agent's name and a colon:
`noindex`, `otherbot: noai, nofollow`, `noai, unavailable_after: 25 Jun 2030 15:00:00 PST`. Some directives have a value
after a colon themselves, and a date may hold commas and colons.
"""

import re
from collections.abc import Iterable

OPT_OUTS = frozenset({"noai", "noimageai"})
_VALUED = re.compile(r"unavailable_after|max-[a-z-]+")  # a colon after these opens a value, no scope
_AGENT = re.compile(r"[a-z0-9_.*/+-]*")
_WORD = re.compile(r"[a-z0-9_.+-]+")


def agent_names(user_agent: str) -> frozenset[str]:
    """Return the names that mean us in a scope: every word of our User-Agent, as servers match parts of it."""
    return frozenset(_WORD.findall(user_agent.lower())) | {"", "*"}


def opt_out(values: Iterable[str], names: frozenset[str]) -> str | None:
    """Return the first value of the `X-Robots-Tag` headers that opts out, verbatim, or None.

    names: the agent names that mean us, see `agent_names`. `none` and `noindex` speak of search alone.
    """
    return next((value for value in values if _opts_out(value, names)), None)


def _opts_out(value: str, names: frozenset[str]) -> bool:
    ours = True
    for item in re.split("[,;]", value.lower()):
        parts = [part.strip() for part in item.split(":")]
        at = 0
        while at + 1 < len(parts) and _opens_scope(
            parts[at]
        ):  # of several scopes in a row the last one holds
            ours = parts[at].partition("/")[0] in names
            at += 1
        if ours and parts[at] in OPT_OUTS:
            return True
    return False


def _opens_scope(name: str) -> bool:
    return name not in OPT_OUTS and not _VALUED.fullmatch(name) and bool(_AGENT.fullmatch(name))
