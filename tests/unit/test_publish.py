"""The card says in two languages what the records say, and Croissant is what mlcroissant takes it for."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from reportrun import make_run

from curation import pipeline
from curation.config import RunConfig
from curation.config_card import CardSection
from curation.errors import ConfigError
from curation.manifest import read_manifest
from curation.report.card import card, line, size
from curation.report.card_words import LIMITS, NAMES, SOURCES, STEPS, WORDINGS
from curation.report.croissant import document
from curation.report.publication import Publication, publication
from curation.report.publish import external, pages
from curation.schemas import TABLES
from curation.stage import RECORD, Record

HOSTILE = "A | set\n# <script>alert(1)</script> `x` {{ 7 * 7 }} [a](javascript:b)"
SAID = CardSection(
    title="Pairs of the demo",
    published="2026-11-21",
    licence="CC-BY-4.0",
    creators=("A. Curator", "나라 연구실"),
    contact="mailto:data@example.org",
    url="https://example.org/set",
    sources={"pool": "terms of the crawl", "extra": "public domain"},
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return make_run(tmp_path_factory.mktemp("publish") / "a-run")


def found_of(config: RunConfig, **changes: Any) -> Publication:
    return publication(replace(config, card=replace(SAID, **changes)), pipeline.finished(config))


def changed(config: RunConfig, stage: str, **data: Any) -> dict[str, Record]:
    records = pipeline.finished(config)
    records[stage] = Record(records[stage].path, records[stage].data | data)
    return records


def tables(text: str) -> list[list[str]]:
    """The cells of all tables that hold numbers."""
    rows = [row.strip("|").split("|") for row in text.splitlines() if row.startswith("|")]
    return [[cell.strip() for cell in row if re.fullmatch(r"[\d,.]+", cell.strip())] for row in rows]


def test_both_cards_hold_the_same_numbers_in_the_same_tables(config: RunConfig) -> None:
    english, korean = (card(found_of(config), lang) for lang in ("en", "ko"))
    assert tables(english) == tables(korean)
    assert english.count("\n## ") == korean.count("\n## ") == 9
    assert len(re.findall(r"^- ", english, re.MULTILINE)) == len(re.findall(r"^- ", korean, re.MULTILINE))
    hangul = len(re.findall(r"[가-힣]", korean))
    assert hangul > 1_500
    assert not re.search(r"[가-힣]", english.replace("나라 연구실", ""))


def test_the_words_of_both_languages_have_the_same_keys() -> None:
    for words in (NAMES, STEPS, SOURCES, WORDINGS, LIMITS):
        assert set(words["en"]) == set(words["ko"])
        assert all(text.strip() for text in words["ko"].values())


def test_the_card_says_what_the_records_say(config: RunConfig) -> None:
    found, records = found_of(config), pipeline.finished(config)
    text = card(found, "en")
    notes = records["manifest"].notes["captions"]
    for lang, name in (("en", "English"), ("ko", "Korean")):
        chosen = notes[f"train/{lang}/selected"]
        train = chosen + notes[f"train/{lang}/not_selected"]
        assert f"| {name} | {train:,} | {chosen:,} |" in text
        assert records["metadata"].notes["lists"][lang]["sha256"] in text
    for name, record in records.items():
        for ledger in record.ledgers if name not in {"train", "evaluate"} else []:
            assert re.search(
                rf"\| {name} \| {ledger['unit']} \| {ledger['in']:,} \| {ledger['out']:,} \|", text
            )
    for said in (
        "A. Curator, 나라 연구실",
        "mailto:data@example.org",
        "CC-BY-4.0",
        "2026-11-21",
        "terms of the crawl",
        "| seed | 5 |",
    ):
        assert said in text, said


def test_the_front_matter_is_yaml_that_dataset_pages_read(config: RunConfig) -> None:
    for lang in ("en", "ko"):
        head = card(found_of(config, title=HOSTILE), lang).split("---\n")[1]
        assert yaml.safe_load(head)["pretty_name"] == HOSTILE
        assert yaml.safe_load(head)["language"] == ["en", "ko"]


def test_what_the_publisher_writes_stays_text(config: RunConfig) -> None:
    for lang in ("en", "ko"):
        body = card(found_of(config, title=HOSTILE, contact=HOSTILE, creators=(HOSTILE,)), lang).split(
            "---\n", 2
        )[2]
        prose = body.split("```bibtex")[0]
        assert "<script>" not in prose
        assert not re.search(r"(?<!\\)\]\(javascript", prose)
        assert "{{ 7" in prose  # shown, not reckoned
        assert "\n# <" not in body
        assert body.count("```") == 2
    assert line("a|b\nc") == "a\\|b c"
    assert line("https://example.org/a_b") == "https://example.org/a_b"
    assert [size(n) for n in (0, 999, 1_500, 69_672_448, 10**15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "69.7 MB",
        "1.0 PB",
    ]


def test_opt_outs_and_removals_are_told(config: RunConfig) -> None:
    urls = {"unit": "urls", "in": 100, "out": 80, "merged": 0, "dropped": {"opted_out": 13, "removed": 7}}
    records = changed(config, "download", ledgers=[urls])
    sealed = records["manifest"].data
    ledgers = [ledger | {"dropped": {"removed": 5}} for ledger in sealed["ledgers"]]
    notes = sealed["notes"] | {"removals": {"near_duplicates_kept": 3}}
    records["manifest"] = Record(records["manifest"].path, sealed | {"ledgers": ledgers, "notes": notes})
    found = publication(replace(config, card=SAID), records)
    assert (found.opted_out, found.removed) == (13, {"addresses": 7, "captions": 5, "pictures": 5, "near": 3})
    english, korean = card(found, "en"), card(found, "ko")
    assert "not kept: 13 addresses" in english
    assert "kept 7 addresses from being fetched, and 5 captions and 5 pictures" in english
    assert "주소는 13개" in korean
    assert "주소 7개를 내려받지 않았고, 캡션 5개와 그림 5장을" in korean
    said = json.dumps(document(found))
    assert "13 addresses not kept" in said
    assert "7 addresses; not sealed: 5 captions, 5 pictures" in said


def test_what_nobody_stated_is_said_to_be_missing(config: RunConfig) -> None:
    plain = publication(config, pipeline.finished(config))
    assert "no contact is stated" in card(plain, "en")
    assert "연락처가 적혀 있지 않" in card(plain, "ko")
    assert "license" not in document(plain)
    assert external(config) == []
    assert external(replace(config, card=SAID))[0]["said"]["licence"] == "CC-BY-4.0"


def test_a_run_without_a_sealed_set_has_no_card(tmp_path: Path) -> None:
    config = make_run(tmp_path / "early", until="balance")
    assert pages(config, pipeline.finished(config)) == {}


def test_equal_records_give_equal_files(config: RunConfig) -> None:
    first, again = (pages(replace(config, card=SAID), pipeline.finished(config)) for _ in "12")
    assert first == again
    assert set(first) == {"card.en.md", "card.ko.md", "croissant.json"}


@pytest.mark.parametrize(
    ("name", "value"), [("version", "1"), ("published", "21.11.2026"), ("files", "https://example.org/set")]
)
def test_what_a_page_could_not_read_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"card.{name}"):
        CardSection(**{name: value})  # type: ignore[arg-type]


def described(config: RunConfig, folder: Path, files: int) -> Path:
    """Lay a set out as it is published: the manifest's folder in `files` files with Croissant beside."""
    shutil.copytree(config.run.path / "manifest", folder)
    whole = folder / "manifest.parquet" / "00000.parquet"
    records = pipeline.finished(config)
    sealed = json.loads((folder / RECORD).read_text())
    sealed["files"] = {}
    rows = pq.read_table(whole)
    for part in range(files):
        name = f"manifest.parquet/{part:05d}.parquet"
        pq.write_table(rows.take(list(range(part, len(rows), files))), folder / name)
        sealed["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    records["manifest"] = Record(folder, sealed)
    for name, text in pages(replace(config, card=SAID), records).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "croissant.json"


@pytest.mark.parametrize("files", [1, 3])
def test_mlcroissant_validates_it_and_reads_every_caption(
    config: RunConfig, tmp_path: Path, files: int
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    place = described(config, tmp_path / "set", files)
    dataset = mlcroissant.Dataset(str(place))
    assert dataset.metadata.ctx.issues.errors == set()
    assert dataset.metadata.ctx.issues.warnings == set()
    assert dataset.metadata.data_limitations
    assert dataset.metadata.personal_sensitive_information
    assert dataset.metadata.data_release_maintenance_plan
    assert dataset.metadata.data_preprocessing_protocol
    fields = {field.name for field in dataset.metadata.record_sets[0].fields}
    assert fields == set(TABLES["manifest"].names)
    rows = list(dataset.records("captions"))
    assert len(rows) == pipeline.finished(config)["manifest"].data["tables"]["manifest"]["rows"]
    texts = {row["captions/pair_id"].decode(): row["captions/caption"].decode() for row in rows}
    sealed = read_manifest(config.run.path / "manifest")
    assert texts == dict(zip(sealed["pair_id"].to_pylist(), sealed["caption"].to_pylist(), strict=True))


def test_every_file_is_named_by_its_hash(config: RunConfig, tmp_path: Path) -> None:
    place = described(config, tmp_path / "set", 3)
    listed = json.loads(place.read_text(encoding="utf-8"))["distribution"]
    files = [item for item in listed if item["@type"] == "cr:FileObject"]
    assert len(files) == 3
    for item in files:
        body = (place.parent / item["contentUrl"]).read_bytes()
        assert hashlib.sha256(body).hexdigest() == item["sha256"]
        assert item["contentSize"] == f"{len(body)} B"
