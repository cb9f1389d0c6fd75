import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config import DownloadSection
from curation.opt_out import agent_names, opt_out

NAMES = agent_names(DownloadSection().user_agent)

FORBIDDEN = (
    "noai", "noimageai", "NoAI", " noai ", "noai, noimageai", "noindex, noai", "noindex,nofollow,noimageai", "noai,",
    "noai, unavailable_after: 25 Jun 2030 15:00:00 PST", "unavailable_after: 25 Jun 2030 15:00:00 PST, noai",
    "unavailable_after: Wed, 25 Jun 2030 15:00:00 GMT, noai", "unavailable_after: 2030-06-25T15:00:00Z, noai",
    "max-image-preview: large, noai", "max-snippet: -1, max-video-preview:-1, noimageai", "bicurate: noai",
    "bicurate/0.1: noai", "BiCurate:noai", "img2dataset: noindex, noai", "*: noai", "otherbot: noindex, bicurate: noai",
    "noai, otherbot: noindex", "otherbot: nofollow, *: noai", "noai;noimageai", ": noai", "noai: yes",
)  # fmt: skip
ALLOWED = (
    "", "all", "none", "noindex", "noindex, nofollow", "otherbot: noai", "otherbot: noindex, noai", "OtherBot:noai,noimageai",
    "otherbot: noai, thirdbot: noimageai", "bicurate: noindex, otherbot: noai", "notnoai", "noai2", "no ai", "noaix, xnoai",
    "unavailable_after: 25 Jun 2030 15:00:00 PST", "max-image-preview: none", "noimageindex", "nocache, noarchive", ":::", ",,;,",
)  # fmt: skip


@pytest.mark.parametrize("value", FORBIDDEN)
def test_an_opt_out_is_found_and_kept_verbatim(value: str) -> None:
    assert opt_out([value], NAMES) == value
    assert opt_out(["noindex", value, "noai"], NAMES) == value


@pytest.mark.parametrize("value", ALLOWED)
def test_what_speaks_of_something_or_somebody_else_is_no_opt_out(value: str) -> None:
    assert opt_out([value], NAMES) is None


_DIRECTIVE = st.sampled_from(
    ["noindex", "nofollow", "none", "max-snippet: 5", "unavailable_after: 25 Jun 2030 15:00:00 PST"]
)
_OPT_OUT = st.sampled_from(["noai", "NOAI", "noimageai"])
_OTHER = st.sampled_from(["otherbot", "Googlebot", "gptbot"])


@given(st.lists(_DIRECTIVE, max_size=4), _OPT_OUT, st.lists(_DIRECTIVE, max_size=4))
def test_an_opt_out_among_any_directives_is_found(before: list[str], word: str, after: list[str]) -> None:
    value = ", ".join([*before, word, *after])
    assert opt_out([value], NAMES) == value


@given(_OTHER, st.lists(_DIRECTIVE, max_size=4), _OPT_OUT, st.lists(_DIRECTIVE, max_size=4))
def test_an_opt_out_in_the_scope_of_another_agent_is_not_ours(
    agent: str, before: list[str], word: str, after: list[str]
) -> None:
    assert opt_out([f"{agent}: " + ", ".join([*before, word, *after])], NAMES) is None


@given(st.lists(st.text(max_size=200), max_size=3))
def test_any_value_is_judged_without_an_error(values: list[str]) -> None:
    found = opt_out(values, NAMES)
    assert found is None or found in values
