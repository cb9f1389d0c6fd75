"""A list has the papers' order and quotas, the same one for any order of input; every offer is counted and every source kept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config_metadata import METACLIP1, METACLIP2, SOURCES, Cuts, MetadataSection
from curation.errors import InputError, Reason
from curation.stage import Tally
from metadata.entries import Entry
from metadata.merge import UNITS, Rules, merge, numbers, share_of, unfit

OPEN = replace(
    METACLIP2,
    numbers=0,
    unigram_max=0,
    bigram_max=0,
    title_max=0,
    bigram_min_pmi=-99.0,
    title_min_views=0,
    unigram_min_count=0,
)


def rules(cuts: Cuts = OPEN, **changes: float) -> Rules:
    return Rules(lang="en", cuts=replace(cuts, **changes), max_chars=20)


def offers(source: str, *pairs: tuple[str, float | None]) -> list[Entry]:
    return [Entry("en", text, source, score) for text, score in pairs]


def texts(entries: Sequence[Entry]) -> list[str]:
    return [entry.entry for entry in entries]


def dropped(tally: Tally, source: str) -> dict[str, int]:
    return {str(reason): rows for reason, rows in tally.of(UNITS[source]).dropped.items()}


def test_the_order_is_numbers_wordnet_unigrams_bigrams_titles_then_ours() -> None:
    parts = {
        "given": offers("mine", ("z", None), ("y", None)),
        "title": offers("title", ("t", 9), ("t2", 10)),
        "word": offers("word", ("w2", 1), ("w1", 5)),
        "bigram": offers("bigram", ("b b", 3.5)),
        "unigram": offers("unigram", ("v", 5), ("u", 5), ("q", 7)),
        "wordnet": offers("wordnet", ("n", None), ("m", 2)),
    }
    found = merge(parts, rules(numbers=3), Tally())
    assert texts(found) == ["0", "1", "2", "m", "n", "q", "u", "v", "b b", "t2", "t", "w2", "w1", "z", "y"]
    assert found[0] == Entry("en", "0", "number", None, (("number", None),))


def test_an_entry_stands_where_its_first_source_has_it_and_keeps_all() -> None:
    tally = Tally()
    parts = {
        "title": offers("title", ("dog", 70), ("cat", 90)),
        "unigram": offers("unigram", ("dog", 500), ("ox", 1)),
        "wordnet": offers("wordnet", ("dog", 7)),
        "given": [Entry("en", "dog", "mine", None, (("mine", None), ("cldr", 2.0)))],
    }
    dog, ox, cat = merge(parts, rules(), tally)
    assert (dog.entry, ox.entry, cat.entry) == ("dog", "ox", "cat")
    assert dog.source == "wordnet"
    assert dog.score == 7
    assert dog.sources == (("wordnet", 7), ("unigram", 500), ("title", 70), ("mine", None), ("cldr", 2.0))
    assert tally.of(UNITS["title"]).as_json() == {
        "unit": "titles",
        "in": 2,
        "out": 1,
        "dropped": {},
        "merged": 1,
    }


def test_a_quota_counts_what_is_new_to_the_list() -> None:
    tally = Tally()
    parts = {
        "wordnet": offers("wordnet", ("a", None), ("b", None)),
        "unigram": offers("unigram", ("b", 9), ("c", 8), ("d", 7), ("a", 6), ("e", 5)),
    }
    found = merge(parts, rules(unigram_max=2), tally)
    assert texts(found) == ["a", "b", "c", "d"]
    assert dropped(tally, "unigram") == {"over_quota": 2}
    best = {**parts, "unigram": parts["unigram"][: 2 + 2]}  # the quota and the entries there are: enough
    assert merge(best, rules(unigram_max=2), Tally()) == found


def test_bigrams_can_be_bound_by_a_share_of_the_unigrams() -> None:
    parts = {
        "unigram": offers("unigram", *((f"u{n}", 1) for n in range(5))),
        "bigram": offers("bigram", *((f"b {n}", n) for n in range(9))),
    }
    assert texts(merge(parts, rules(bigram_share=0.4), Tally()))[5:] == ["b 8", "b 7"]
    assert texts(merge(parts, rules(bigram_share=0.4, bigram_max=1), Tally()))[5:] == ["b 8"]


def test_the_whole_list_is_cut_and_sources_are_still_noted() -> None:
    tally = Tally()
    parts = {
        "unigram": offers("unigram", ("a", 3), ("b", 2), ("c", 1)),
        "title": offers("title", ("z", 9), ("a", 1)),
    }
    found = merge(parts, rules(max_entries=2), tally)
    assert texts(found) == ["a", "b"]
    assert found[0].sources == (("unigram", 3), ("title", 1))
    assert dropped(tally, "unigram") == {"over_quota": 1}
    assert dropped(tally, "title") == {"over_quota": 1}


def test_every_drop_has_its_reason() -> None:
    tally = Tally()
    bad = ["", "  ", "a\nb", "\ud800", "a\0", "x" * 21, "?!", "\u300c \u2014", "\u3008\u3009"]
    parts = {
        "unigram": offers("unigram", ("ok", 100), ("rare", 99), *((text, 100) for text in bad)),
        "bigram": offers("bigram", ("o k", 30.0), ("k o", 29.9)),
        "title": offers("title", ("Ok", 70), ("Ko", 69)),
    }
    found = merge(parts, rules(METACLIP1, numbers=0), tally)
    assert texts(found) == ["ok", "o k", "Ok"]
    assert dropped(tally, "unigram") == {
        "below_cut": 1, "empty_text": 2, "bad_text": 3, "too_long": 1, "punctuation": 3,
    }  # fmt: skip
    assert dropped(tally, "bigram") == dropped(tally, "title") == {"below_cut": 1}


def test_entries_are_as_alt_texts_are_matched() -> None:
    parts = {
        "wordnet": offers("wordnet", ("cafe\u0301", None)),
        "title": offers("title", ("caf\u00e9", 5), ("New\u00a0 York", 4), ("\u00ad?", 3)),
    }
    tally = Tally()
    found = merge(parts, rules(), tally)
    assert texts(found) == ["caf\u00e9", "New York"]
    assert found[0].sources == (("wordnet", None), ("title", 5))
    assert dropped(tally, "title") == {"punctuation": 1}


def test_a_part_of_another_name_or_language_is_an_error() -> None:
    with pytest.raises(InputError, match="'unigrams'"):
        merge({"unigrams": []}, rules(), Tally())
    with pytest.raises(InputError, match="'ko'"):
        merge({"title": [Entry("ko", "x", "title")]}, rules(), Tally())


PIECES = st.text(st.sampled_from("abe\u0301\u00e9 .\u00ad"), max_size=4)
OFFERS = st.lists(st.tuples(PIECES, st.none() | st.integers(0, 3).map(float)), max_size=12)
PARTS = st.dictionaries(st.sampled_from(SOURCES), OFFERS, max_size=len(SOURCES))
CUTS = st.builds(
    replace, st.just(OPEN), numbers=st.integers(0, 2), unigram_min_count=st.integers(0, 2), unigram_max=st.integers(0, 4),
    bigram_max=st.integers(0, 3), bigram_share=st.sampled_from([0.0, 0.5]), title_max=st.integers(0, 3), max_entries=st.integers(0, 9),
)  # fmt: skip


@given(PARTS, CUTS, st.data())
def test_any_order_of_input_gives_the_same_list_and_the_same_sums(
    raw: Mapping[str, list[tuple[str, float | None]]], cuts: Cuts, data: st.DataObject
) -> None:
    parts = {source: offers(source, *pairs) for source, pairs in raw.items()}
    first, second = Tally(), Tally()
    found = merge(parts, rules(cuts), first)
    other = {}
    for name in data.draw(st.permutations(list(parts))):
        fixed = name in {"number", "word", "given"}  # these have an order of their own
        other[name] = parts[name] if fixed else data.draw(st.permutations(parts[name]))
    assert merge(other, rules(cuts), second) == found
    assert {u: ledger.as_json() for u, ledger in first.ledgers.items()} == {
        u: ledger.as_json() for u, ledger in second.ledgers.items()
    }


@given(PARTS, CUTS)
def test_a_list_holds_what_its_rules_say(
    raw: Mapping[str, list[tuple[str, float | None]]], cuts: Cuts
) -> None:
    parts = {source: offers(source, *pairs) for source, pairs in raw.items()}
    tally = Tally()
    found = merge(parts, rules(cuts), tally)
    assert len({entry.entry for entry in found}) == len(found)
    assert not [entry for entry in found if unfit(entry.entry, 20)]
    assert all(entry.sources[0] == (entry.source, entry.score) for entry in found)
    assert [SOURCES.index(entry.source) for entry in found] == sorted(
        SOURCES.index(entry.source) for entry in found
    )
    new = {source: sum(entry.source == source for entry in found) for source in SOURCES}
    assert not cuts.max_entries or len(found) <= cuts.max_entries
    for source, most in (
        ("unigram", cuts.unigram_max),
        ("bigram", cuts.bigram_max),
        ("title", cuts.title_max),
    ):
        assert not most or new[source] <= most
    for source in SOURCES:
        ledger = tally.of(UNITS[source])
        ledger.close()
        offered = parts.get(source, numbers("en", cuts.numbers) if source == "number" else [])
        assert ledger.rows_in == len(offered)
        assert ledger.rows_out == new[source]


def test_shares_are_rounded_down_as_in_metaclip_2() -> None:
    assert [share_of(n, 0.1) for n in (0, 9, 10, 19, 30)] == [0, 0, 1, 1, 3]
    assert share_of(100, 0.29) == 29
    assert share_of(25, 0.76) == 19


def test_rules_are_the_configurations() -> None:
    section = MetadataSection(unigram_min_count={"en": 5}, max_chars=9)
    assert Rules.of(section, "en").least("unigram") == 5
    assert Rules.of(section, "ko").cuts == METACLIP2
    assert Rules.of(section, "fr").cuts == METACLIP2
    assert Rules.of(section, "en").max_chars == 9
    assert Rules.of(section, "ko").most("title", 0) == 61_235
    assert Rules.of(section, "en").most("title", 0) == float("inf")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", None),
        ("C++", None),
        ("\U0001f600", None),
        ("...", Reason.PUNCTUATION),
        ("$", Reason.PUNCTUATION),
        ("\u00ab\u00bb", Reason.PUNCTUATION),
    ],
)
def test_what_is_punctuation_alone(text: str, reason: Reason | None) -> None:
    assert unfit(text) is reason
