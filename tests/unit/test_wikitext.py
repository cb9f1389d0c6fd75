import collections
import re
import time
from pathlib import Path
from typing import Any

import mwparserfromhell
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.stage import Tally
from metadata.wikipedia import dump_ranges, plain_text, read_pages
from metadata.wikitext import MAX_WIKITEXT


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("'''고양이'''는 [[포유류|포유동물]]이며 [[애완동물]]이다.", "고양이는 포유동물이며 애완동물이다."),
        ("a {{cite|b={{c}}|d=[[e]]}} f", "a f"),
        ("{{{1|x}}} y {{{{{a}}}}} z", "y z"),
        ("a<ref>b</ref> c<ref name='d' /> e<ref name=x>{{f}}</ref>.", "a c e."),
        ("a\n{| class=w\n! h\n|-\n| b || c\n{|\n| in\n|}\n|}\nd", "a\nd"),
        ("x [[File:a.jpg|thumb|200px|A [[dog]] and [[cat|cats]]]] y", "x y"),
        ("[[파일:a.jpg|섬네일|개]][[분류:개]][[Category:Dogs|*]][[그림:b.png]]z", "z"),
        ("[[:Category:Dogs]] [[:파일:a.jpg|label]]", "Category:Dogs label"),
        ("a [[de:Hund]] [[zh-min-nan:Káu]] [[wikt:dog|dog]]", "a dog"),
        ("E <math>x^2</math> H<sub>2</sub>O <!-- no --> m<sup>2</sup>", "E H2O m2"),
        ("== 역사 ==\n* 하나\n** 둘\n# 셋\n: 넷\n; 다섯\n----\n=== b ===", "역사\n하나\n둘\n셋\n넷\n다섯\nb"),
        ("[http://a.b c d] [http://e.f] http://g.h i", "c d i"),
        ("caf&eacute;&nbsp;&amp; &lt;b&gt; &#44256; &amp;lt;", "café & <b> 고 &lt;"),
        ("&#xD800; &#x110000; &#0; &nonsense;", "� � � &nonsense;"),
        ("<nowiki>[[x]] '''y'''</nowiki> <pre>code</pre><gallery>\nA.jpg|b\n</gallery>z", "x y z"),
        ("a<br>b<br />c <span style='x'>d</span> <div>e</div>", "a\nb\nc d\ne"),
        ("__NOTOC__a __목차숨김__ b", "a b"),
        ("{{Infobox\n| name = x\n| y = z\n\nText [[unclosed and {{more", "Infobox\nText unclosed and more"),
        ("a }} b ]] c |} d </ref> e", "a b c |} d e"),
        ("<!-- never closed\nrest", ""),
        ("a < b and c > d", "a < b and c > d"),
        ("[[a [[b]] c]]", "a b c"),
        ("", ""),
    ],
)
def test_running_text_stays_and_markup_goes(wikitext: str, expected: str) -> None:
    assert plain_text(wikitext) == expected


PARTS = st.sampled_from(
    ["{{", "}}", "[[", "]]", "{|", "|}", "|", "\n", "<ref>", "</ref>", "<nowiki>", "</nowiki>", "<b a='", ">", "<!--", "-->",
     "a", "개", " ", "=", "==", "''", "'''", "[http://x ", "]", "&amp;", "&#xD800;", "\ud800", "\0", "*", ":", "파일:", "File:"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=60).map("".join) | st.text(max_size=200))
def test_nothing_raises_and_lines_are_clean(wikitext: str) -> None:
    text = plain_text(wikitext)
    assert "  " not in text
    assert "[[" not in text
    assert all(line and line == line.strip() for line in text.split("\n") if text)


HOSTILE = [
    "{{",
    "[[",
    "{{{",
    "<ref>",
    "{|\n|",
    "<b>",
    "{{a|b=",
    "[http://a ",
    "<!--",
    '<b a="',
    "{{{{{a|",
    "''a ",
    "[[a|",
]
HOSTILE += [
    "{|\n|-\n| a || b\n",
    "[http://[[a]] ",
    "<nowiki>",
    ":::::",
    "[[File:",
    "\n=",
    "&amp;",
    "{{a|[[b|<ref>{{{c|''d",
]


def _seconds_of(text: str) -> float:
    started = time.process_time()
    plain_text(text)
    return time.process_time() - started


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_wikitext_takes_time_in_proportion(part: str) -> None:
    """The parser alone needs up to 13 s for 20,000 characters of these."""
    seconds = [min(_seconds_of(part * (size // len(part))) for _ in range(3)) for size in (20_000, 80_000)]
    assert seconds[1] < 6  # on the slowest of them 1.2 s
    assert seconds[1] < 0.2 or seconds[1] < 10 * seconds[0]


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("{{", "}}"), ("[[a|", "]]"), ("<ref>", "</ref>"), ("{|\n", "\n|}"), ("<b>", "</b>")],
)
def test_deep_nesting_is_read(opening: str, closing: str) -> None:
    assert plain_text(f"x {opening * 20_000}{closing * 20_000} y").startswith("x")


def test_a_text_is_bounded() -> None:
    assert len(plain_text("개 " * MAX_WIKITEXT)) <= MAX_WIKITEXT


def words(text: str) -> "collections.Counter[str]":
    return collections.Counter(re.findall(r"[^\W\d_]{2,}", text))


def by_the_library_alone(wikitext: str) -> str:
    """Strip with mwparserfromhell and nothing else: what one would write first."""
    code: Any = mwparserfromhell.parse(wikitext)
    for node in code.filter(recursive=True, matches=_is_no_text):
        try:
            code.remove(node)
        except ValueError:
            continue  # it went with what was around it
    return str(code.strip_code())


def _is_no_text(node: Any) -> bool:
    if isinstance(node, mwparserfromhell.nodes.Tag):
        return str(node.tag).lower() in {
            "ref",
            "table",
            "math",
            "gallery",
            "source",
            "syntaxhighlight",
            "pre",
            "timeline",
        }
    if isinstance(node, mwparserfromhell.nodes.Wikilink):
        return bool(re.match(r"\s*(file|image|category|[a-z]{2,3}):", str(node.title), re.IGNORECASE))
    return False


def test_real_articles_lose_no_words_that_the_library_alone_keeps(shared: Path) -> None:
    path = shared / "sources" / "enwiki-sample-pages-articles.xml.bz2"
    both: collections.Counter[str] = collections.Counter()
    ours: collections.Counter[str] = collections.Counter()
    theirs: collections.Counter[str] = collections.Counter()
    pages = [page for part in dump_ranges([str(path)]) for page in read_pages(part, Tally())]
    for page in [page for page in pages if len(page.text) < 30_000][:15]:
        a, b = words(plain_text(page.text)), words(by_the_library_alone(page.text))
        both, ours, theirs = both + (a & b), ours + a, theirs + b
    assert both.total() > 5_000
    assert both.total() / theirs.total() > 0.98
    assert both.total() / ours.total() > 0.98


def test_no_markup_is_left_in_real_articles(shared: Path) -> None:
    for wiki in ("enwiki", "kowiki"):
        path = shared / "sources" / f"{wiki}-sample-pages-articles.xml.bz2"
        pages = [page for part in dump_ranges([str(path)]) for page in read_pages(part, Tally())]
        text = "\n".join(plain_text(page.text) for page in pages[:25])
        assert len(text) > 10_000
        assert not re.findall(r"\{\{|\}\}|\[\[|\]\]|^\{\||^\||</?ref|<!--|https?://|'''", text, re.MULTILINE)
