"""The record of `match` names the engines that its tasks used."""

from curation.spark.match import _engines
from curation.stage import Tally


def test_the_record_names_each_languages_engine_and_all_of_them_where_machines_differ() -> None:
    total = Tally()
    for engine in ("spans", "spans", "pyahocorasick"):
        task = Tally()
        task.add("engine/en/spans", 1)
        task.add(f"engine/ko/{engine}", 1)
        total.add_json(task.to_json())
    assert _engines(total) == {"en": "spans", "ko": "pyahocorasick, spans"}
