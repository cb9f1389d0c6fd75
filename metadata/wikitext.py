"""Wikitext to the text that a reader of the article sees as running text. `plain_text` is all that others need.

mwparserfromhell reads the markup: links, external links, headings, entities. Before it, one linear pass takes out what
is no running text (comments, templates, tables, references, formulas, source code, galleries, files, categories, links to
other languages) and every bracket or tag that is never closed. It is needed: the parser goes back at each unclosed one, and 20,000
characters of `{{a|b=` cost it 9 s, of `<a b="` 13 s. The text then goes to it in pieces of at most PIECE characters, cut at
line ends where there are any, so that what is left of its going back is bounded; of a text, the first MAX_WIKITEXT
characters are read (MediaWiki allows 2 MiB). Nothing raises: markup that cannot be read is left out or stays as text.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from curation.extras import missing

MAX_WIKITEXT = 4 << 20  # characters
PIECE = 2_000  # characters that the parser gets at a time
# Extension tags whose content is no wikitext; of these, nowiki alone shows it as running text.
_RAW = (
    "nowiki|pre|math|chem|ce|source|syntaxhighlight|score|gallery|timeline|hiero|graph|imagemap|inputbox|"
    "templatedata|templatestyles|categorytree|mapframe|maplink|section|indicator"
)
_TOKEN = re.compile(
    rf"""(?P<comment><!--)
    |<(?P<raw>{_RAW})\b[^<>]{{0,1000}}>
    |<(?P<ref>/?ref)\b[^<>]{{0,1000}}>
    |<(?P<tag>/?[a-z][a-z0-9]*)\b[^<>]{{0,1000}}>
    |(?P<stray><(?=[a-z/!]))
    |(?P<open>\{{\{{+)
    |(?P<close>\}}\}}+)
    |(?P<table>^[ \t:*\#;]*\{{\|)
    |(?P<endtable>^[ \t]*\|\}}(?!\}}))
    |(?P<link>\[\[)
    |(?P<endlink>\]\])""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
# Tags that begin or end a line; the others lie inside one, as in H<sub>2</sub>O.
_BLOCKS = frozenset({"br", "p", "div", "li", "ul", "ol", "dl", "dd", "dt", "table", "tr", "td", "th", "caption", "center",
    "blockquote", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "poem"})  # fmt: skip
_PREFIX = re.compile(r"\s*([^\[\]|:\n<>{}]{1,40}):")
_MEDIA = frozenset({"file", "image", "media", "category", "파일", "그림", "미디어", "분류"})
_OTHER_WIKI = re.compile(r"[a-z]{2,3}(?:-[a-z]+)*")
_LINE_START = re.compile(r"^[ \t]*[*#:;]+[ \t]*", re.MULTILINE)
_TABLE_LINE = re.compile(r"^[ \t]*(?:\|.*|\{\|.*)$", re.MULTILINE)  # what unclosed tables and templates leave
_MARKS = re.compile(r"'{2,}|__[A-Z\uac00-\ud7a3]+__|\[\[|\]\]|-{4,}")
_BRACKETS = re.compile(r"[\[\]{}<>|']+")


def plain_text(wikitext: str) -> str:
    """Return the running text, a line a paragraph, heading or item of a list; spaces single, no empty lines.

    Raises MissingExtraError where mwparserfromhell is not installed, and nothing else, whatever the text.
    """
    swept = "".join(_Sweep(wikitext[:MAX_WIKITEXT]).run())
    swept = _LINE_START.sub("", _TABLE_LINE.sub("", swept))
    parsed = "".join(_parsed(piece) for piece in _pieces(swept))
    lines = (" ".join(line.split()) for line in html.unescape(_MARKS.sub("", parsed)).split("\n"))
    return "\n".join(line for line in lines if line)


@dataclass
class _Open:
    """Something that was opened and not yet closed."""

    kind: str
    """One of "{", "table", "ref", "["."""
    at: int
    """Its place in the output."""
    braces: int = 0
    """Braces of it that are not closed."""
    dropped: bool = False
    """A link that is no text: a file, a category, another language's."""
    holds_link: bool = False
    """A link was closed inside it, so it is none."""


class _Sweep:
    """One pass over a wikitext: what is no running text goes, what is never closed loses its brackets. Linear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._out: list[str] = []
        self._stack: list[_Open] = []
        self._opened = {"{": 0, "table": 0, "ref": 0, "[": 0}
        self._never_closed: set[str] = set()  # raw tags for which no end is ahead

    def run(self) -> list[str]:
        """Return the parts of the swept text."""
        position = 0
        while token := _TOKEN.search(self._text, position):
            self._out.append(self._text[position : token.start()])
            position = token.end()
            kind = str(token.lastgroup)
            if kind == "comment":
                end = self._text.find("-->", position)
                position = end + 3 if end >= 0 else len(self._text)
            elif kind == "raw":
                position = self._raw(token)
            else:
                self._take(kind, token)
        self._out.append(self._text[position:])
        return self._out

    def _take(self, kind: str, token: re.Match[str]) -> None:
        if kind == "open":
            self._push(_Open("{", len(self._out), braces=len(token[0])))
        elif kind == "close":
            self._close_braces(len(token[0]))
        elif kind == "table":
            self._push(_Open("table", len(self._out)))
        elif kind == "endtable":
            self._drop("table")
        elif kind == "link":
            self._push(_Open("[", len(self._out), dropped=self._is_no_text(token.end())))
            self._out.append("")  # for the brackets, if it is closed
        elif kind == "endlink":
            self._close_link()
        elif kind == "ref":
            if token[kind].startswith("/"):
                self._drop("ref")
            elif not token[0].endswith("/>"):
                self._push(_Open("ref", len(self._out)))
        elif kind == "tag":
            self._out.append("\n" if token[kind].lower().strip("/") in _BLOCKS else "")
        else:
            self._out.append(" ")

    def _push(self, item: _Open) -> None:
        self._stack.append(item)
        self._opened[item.kind] += 1

    def _pop_to(self, kind: str) -> _Open | None:
        """Return the innermost open thing of a kind, with what is open inside it given up; None where there is none."""
        if not self._opened[kind]:
            return None
        while True:
            item = self._stack.pop()
            self._opened[item.kind] -= 1
            if item.kind == kind:
                return item

    def _drop(self, kind: str) -> None:
        item = self._pop_to(kind)
        if item:
            del self._out[item.at :]

    def _close_braces(self, braces: int) -> None:
        while braces >= 2 and (item := self._pop_to("{")):
            closed = min(item.braces, braces)
            del self._out[item.at :]
            item.braces -= closed
            braces -= closed
            if item.braces >= 2:
                self._push(item)

    def _close_link(self) -> None:
        if not self._stack or self._stack[-1].kind != "[":
            return
        item = self._pop_to("[")
        assert item is not None
        if item.dropped:
            del self._out[item.at :]
        elif not item.holds_link:
            self._out[item.at] = "[["
            self._out.append("]]")
            if self._stack:
                self._stack[-1].holds_link = True

    def _is_no_text(self, position: int) -> bool:
        prefix = _PREFIX.match(self._text, position)
        if not prefix:
            return False
        name = prefix[1].strip()
        if name.lower() in _MEDIA:
            return True
        # A link to the same article in another language stands without a label.
        rest = self._text[prefix.end() : prefix.end() + 300]
        return bool(_OTHER_WIKI.fullmatch(name)) and "|" not in rest.partition("]]")[0]

    def _raw(self, token: re.Match[str]) -> int:
        """Return where to read on after an extension tag."""
        name = token["raw"].lower()
        if token[0].endswith("/>") or name in self._never_closed:
            return token.end()
        end = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(self._text, token.end())
        if end is None:
            self._never_closed.add(name)
            return token.end()
        if name == "nowiki":
            self._out.append(_BRACKETS.sub(" ", self._text[token.end() : end.start()]))
        return end.end()


def _pieces(text: str) -> Iterator[str]:
    """Yield the text in pieces of at most PIECE characters, cut after a line, else after a word, else anywhere."""
    start = 0
    while len(text) - start > PIECE:
        end = text.rfind("\n", start, start + PIECE) + 1 or text.rfind(" ", start, start + PIECE) + 1
        end = end or start + PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _parsed(piece: str) -> str:
    """Return a piece's text as mwparserfromhell reads it; the piece itself where it cannot."""
    if not any(mark in piece for mark in "[=:<{"):
        return piece
    library = _library()
    try:
        return _text_of(library.parse(piece, skip_style_tags=True), library.nodes)
    except (library.parser.ParserError, ValueError, RecursionError):
        return piece


def _text_of(code: Any, nodes: Any) -> str:
    parts: list[str] = []
    for node in code.nodes:
        if isinstance(node, nodes.Text):
            parts.append(node.value)
        elif isinstance(node, nodes.Wikilink):
            label = node.text if node.text is not None else str(node.title).lstrip(":")
            parts.append(label if isinstance(label, str) else _text_of(label, nodes))
        elif isinstance(node, nodes.ExternalLink):
            if node.brackets and node.title is not None:
                parts.append(_text_of(node.title, nodes))
        elif isinstance(node, nodes.Heading):
            parts.append(_text_of(node.title, nodes))
        elif isinstance(node, nodes.HTMLEntity):
            parts.append(str(node))
        elif isinstance(node, nodes.Tag) and node.contents is not None:
            parts.append(_text_of(node.contents, nodes))
    return "".join(parts)


@cache
def _library() -> Any:
    try:
        import mwparserfromhell
    except ImportError as error:
        raise missing("reading wikitext", "mwparserfromhell") from error
    return mwparserfromhell
