"""What a selection may ask for, by hand: options, their record, and the host that a cap a domain goes by."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from addresses import ADDRESSES

from curation.balance import Survivors, decide
from curation.canonical import as_record
from curation.config import BalanceSection, RunConfig, RunSection
from curation.domains import host_of, hosts_of
from curation.errors import ConfigError, Reason
from curation.ids import coins
from curation.spark.balance import SPEC, SPEC_SURVIVORS
from curation.stage import identity

ROWS = Survivors(
    pair_id=np.array(["a", "b", "c", "d", "e", "f"], dtype=object),
    prob=np.array([1.0, 0.5, 0.5, 0.2, 1.0, 0.0]),
    keep_prob_wanted=np.array([1.0, 1.0, 0.4, 1.0, 1.0, 1.0]),
    coin=np.array([0.9, 0.1, 0.3, 0.3, 0.1, 0.0]),
    train=np.array([True, True, True, True, False, True]),
    image_id=np.array(["x", "x", "x", "y", "y", "z"], dtype=object),
    domain=np.array(["h", "h", "h", "h", "h", "h"], dtype=object),
)
OUT, HELD, IMAGE, DOMAIN = (
    Reason.BALANCED_OUT,
    Reason.HELD_OUT,
    Reason.OVER_IMAGE_CAP,
    Reason.OVER_DOMAIN_CAP,
)


def test_a_pair_is_selected_where_its_coin_is_below_the_lesser_chance() -> None:
    prob, reason = decide(ROWS, BalanceSection(), seed=0)
    assert prob.tolist() == [1.0, 0.5, 0.4, 0.2, 1.0, 0.0]
    assert reason.tolist() == [None, None, None, OUT, HELD, OUT]


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ({"max_per_image": 3}, [None, None, None, OUT, HELD, OUT]),
        ({"max_per_image": 2}, [IMAGE, None, None, OUT, HELD, OUT]),  # ranks 0.9, 0.2, 0.75
        ({"max_per_image": 1}, [IMAGE, None, IMAGE, OUT, HELD, OUT]),
        ({"max_per_domain": 1}, [DOMAIN, None, DOMAIN, OUT, HELD, OUT]),
        ({"max_per_image": 2, "max_per_domain": 1}, [IMAGE, None, DOMAIN, OUT, HELD, OUT]),
    ],
)
def test_a_cap_keeps_the_smallest_coins_for_their_chance(
    options: dict[str, int], reasons: list[Reason]
) -> None:
    assert decide(ROWS, BalanceSection(**options), seed=0)[1].tolist() == reasons


@pytest.mark.parametrize("seed", range(4))
def test_one_caption_of_each_picture_is_drawn_by_a_coin_of_its_own_before_the_toss(seed: int) -> None:
    _, reason = decide(ROWS, BalanceSection(one_caption=True), seed=seed)
    draw = coins(["a", "b", "c"], seed, "caption")
    for place in range(3):
        drawn = place == draw.argmin()
        assert reason[place] == (None if drawn else Reason.NOT_CHOSEN)
    assert reason.tolist()[3:] == [OUT, HELD, OUT]  # each the only one of its picture that is tossed for


def test_nothing_at_all_is_a_selection_too() -> None:
    nothing = Survivors(**{name: getattr(ROWS, name)[:0] for name in ROWS.__dataclass_fields__})
    options = BalanceSection(one_caption=True, max_per_image=1, max_per_domain=1)
    assert [part.size for part in decide(nothing, options, seed=0)] == [0, 0]


def test_options_that_are_off_leave_the_record_as_it_was_and_those_that_are_on_are_named() -> None:
    assert set(as_record(BalanceSection())) == {"t", "margin"}
    given = {"budget": {"ko": 700.0}, "one_caption": True, "max_per_image": 2, "max_per_domain": 9}
    assert {key: as_record(BalanceSection(**given))[key] for key in given} == given  # type: ignore[arg-type]


def test_a_cap_asks_for_another_selection_and_for_no_other_download() -> None:
    plain = RunConfig(run=RunSection(path=Path("x")))
    for changes in ({"max_per_domain": 9}, {"max_per_image": 1}, {"one_caption": True}):
        capped = RunConfig(run=plain.run, balance=BalanceSection(**changes))  # type: ignore[arg-type]
        assert identity(plain, SPEC, {}, []) == identity(capped, SPEC, {}, [])
        assert identity(plain, SPEC_SURVIVORS, {}, []) != identity(capped, SPEC_SURVIVORS, {}, [])
    asked = RunConfig(run=plain.run, balance=BalanceSection(budget={"en": 9.0}))
    assert identity(plain, SPEC, {}, []) != identity(asked, SPEC, {}, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": {"ko": 0.0}}, r"balance\.budget\.ko"),
        ({"budget": {"ko": float("inf")}}, r"balance\.budget\.ko"),
        ({"max_per_image": 0}, r"balance\.max_per_image"),
        ({"max_per_domain": -1}, r"balance\.max_per_domain"),
    ],
)
def test_what_no_option_can_be_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        BalanceSection(**changes)  # type: ignore[arg-type]


def test_a_budget_for_a_language_that_the_run_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"balance\.budget"):
        RunConfig(balance=BalanceSection(budget={"fr": 5.0}))


def test_a_domain_is_the_host_without_port_user_and_www() -> None:
    assert [host_of(url) for url in ADDRESSES] == list(ADDRESSES.values())
    assert hosts_of(pa.array(list(ADDRESSES))).to_pylist() == list(ADDRESSES.values())
