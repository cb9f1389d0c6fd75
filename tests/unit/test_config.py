"""A run's TOML is read strictly, and only what changes results changes the hash."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from curation.canonical import as_record, later, sha256_json
from curation.config import DownloadSection, RunConfig, RunSection
from curation.errors import ConfigError
from curation.runfile import load


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_gives_the_declared_types(tmp_path: Path) -> None:
    text = """
    [run]
    path = "runs/x"
    languages = ["ko"]
    [match]
    lid_model = "lid.bin"
    [balance]
    t = { ko = inf }
    margin = 2
    [download]
    resolve = { "a.test:80" = "127.0.0.1:1" }
    """
    config = load(write(tmp_path / "a.toml", text))
    assert config.run == RunSection(path=Path("runs/x"), languages=("ko",))
    assert config.match.lid_model == Path("lid.bin")
    assert config.balance.t == {"ko": float("inf")}
    assert isinstance(config.balance.margin, float)
    assert config.download.resolve == {"a.test:80": "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[runs]\n", "'runs'"),
        ("[run]\npth = 'x'\n", "'pth'"),
        ("[run]\nseed = 'x'\n", "run.seed"),
        ("[run]\nseed = true\n", "run.seed"),
        ("[run]\nlanguages = 'en'\n", "run.languages"),
        ("[run]\nlanguages = ['en', 'en']\n", "run.languages"),
        ("[balance]\nt = { fr = 5 }\n", "balance.t"),
        ("[balance]\nt = { en = 0 }\n", "balance.t.en"),
        ("[balance]\nt = { en = 'many' }\n", "balance.t.en"),
        ("[dedup]\nthreshold = 0.12345\n", "dedup.threshold"),
        ("[extract]\nformat = 'csv'\n", "extract.format"),
        ("[match]\nmode = { en = 'paper' }\n", "match.mode.en"),
        ("[run\n", "not TOML"),
    ],
)
def test_a_mistake_is_an_error_that_names_the_key(tmp_path: Path, text: str, named: str) -> None:
    path = write(tmp_path / "a.toml", text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load(tmp_path / "none.toml")


def test_runtime_fields_stay_out_of_the_hash_and_others_do_not() -> None:
    section = DownloadSection()
    same = replace(section, threads=1, processes=9, resolve={"a.test:80": "127.0.0.1:9"})
    assert sha256_json(as_record(section)) == sha256_json(as_record(same))
    assert sha256_json(as_record(section)) != sha256_json(as_record(replace(section, retries=3)))
    assert as_record(section, with_runtime=True)["threads"] == section.threads


def test_a_later_field_is_in_the_record_only_where_it_changes_something() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Before:
        entries: tuple[str, ...] = ()

    @dataclass(frozen=True, kw_only=True)
    class After(Before):
        quota: int = later(5)
        sources: dict[str, str] = later(factory=dict)  # noqa: RUF009

    assert as_record(After(entries=("a",))) == as_record(Before(entries=("a",)))
    assert as_record(After(quota=6)) == {"entries": [], "quota": 6}
    assert as_record(After(sources={"en": "x"}))["sources"] == {"en": "x"}
    assert as_record(After(), with_runtime=True) == {"entries": [], "quota": 5, "sources": {}}


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs").glob("*.toml")), ids=lambda p: p.name
)
def test_the_shipped_configurations_load(path: Path) -> None:
    assert isinstance(load(path), RunConfig)
