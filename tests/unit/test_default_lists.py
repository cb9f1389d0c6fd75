import hashlib
import sys
import tomllib
import unicodedata
import zipfile
from pathlib import Path
from subprocess import run

import pyarrow.parquet as pq
import pytest

from curation.errors import InputError
from curation.ids import coin
from curation.stage import Tally
from metadata.default import LISTS, default_path, recorded
from metadata.entries import Entry, read_given
from metadata.packaged import _CldrUnpickler, local_path, read_packaged

HOME = Path(__file__).parents[2] / "metadata" / "default"
CASES = ("은", "는", "이", "가", "을", "를", "의", "에", "에서", "에게", "으로", "와", "과", "도", "만")


@pytest.fixture(scope="module")
def lists() -> dict[str, list[Entry]]:
    with default_path() as path:
        found: dict[str, list[Entry]] = {}
        for entry in read_given(path):
            found.setdefault(entry.lang, []).append(entry)
    return found


def test_both_languages_are_there_at_a_useful_size(lists: dict[str, list[Entry]]) -> None:
    assert sorted(lists) == ["en", "ko"]
    assert all(100_000 <= len(entries) <= 250_000 for entries in lists.values())
    assert (HOME / LISTS).stat().st_size < 5 << 20


def test_the_lists_are_the_recorded_ones(lists: dict[str, list[Entry]]) -> None:
    for lang, entries in lists.items():
        text = "".join(f"{entry.entry}\n" for entry in entries)
        assert recorded()[lang] == {
            "entries": len(entries),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }


def test_entries_are_unique_nfc_and_printable(lists: dict[str, list[Entry]]) -> None:
    for entries in lists.values():
        texts = [entry.entry for entry in entries]
        assert len(set(texts)) == len(texts)
        assert all(unicodedata.is_normalized("NFC", text) and text.isprintable() for text in texts)
        assert all(text == text.strip() and "  " not in text for text in texts)


def test_numbers_come_first_and_each_source_stands_together_best_first(lists: dict[str, list[Entry]]) -> None:
    assert [entry.entry for entry in lists["en"][:100]] == [str(n) for n in range(100)]
    for entries in lists.values():
        order = list(dict.fromkeys(entry.source for entry in entries))
        places = [order.index(entry.source) for entry in entries]
        assert places == sorted(places)
        for source in order:
            of_source = [(-(e.score or 0.0), e.entry) for e in entries if e.source == source]
            assert source == "number" or of_source == sorted(of_source)


def test_every_entry_keeps_its_sources(lists: dict[str, list[Entry]]) -> None:
    for entries in lists.values():
        assert all(entry.all_sources[0] == (entry.source, entry.score) for entry in entries)
        assert sum(len(entry.all_sources) > 1 for entry in entries) > 20_000


def test_things_of_alt_texts_are_in_both_lists(lists: dict[str, list[Entry]]) -> None:
    texts = {lang: {entry.entry for entry in entries} for lang, entries in lists.items()}
    assert {
        "dog",
        "dogs",
        "London",
        "Golden Gate Bridge",
        "South Korea",
        "Icon",
        "red heart",
        "Seoul",
    } <= texts["en"]
    assert {"고양이", "강아지", "꽃", "대한민국", "서울", "자전거", "부산", "사진", "컴퓨터"} <= texts["ko"]


def test_no_korean_word_ends_in_a_case_particle_unless_it_is_a_noun(lists: dict[str, list[Entry]]) -> None:
    kiwi = pytest.importorskip("kiwipiepy", reason="needs the extra [metadata]").Kiwi()
    words = [entry.entry for entry in lists["ko"] if entry.source in {"wordfreq", "kiwi", "mecab-ko-dic"}]
    suspects = sorted(
        (word for word in words if word.endswith(CASES)), key=lambda word: coin(word, 0, "suspects")
    )
    nouns, number = set(), 0
    while True:
        try:
            morpheme = kiwi.morpheme(number)
        except ValueError:
            break
        nouns |= {morpheme.form} if morpheme.tag in {"NNG", "NNP"} else set()
        number += 1
    assert len(suspects) > 1000
    assert set(suspects[:1000]) <= nouns
    assert not {"고양이가", "고양이를", "학교에서", "사람은"} & set(words)


def test_the_lists_load_from_a_zip(tmp_path: Path) -> None:
    package = Path(__file__).parents[2]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for folder in ("curation", "metadata"):
            for path in (package / folder).rglob("*"):
                if path.suffix in {".py", ".parquet", ".json"}:
                    archive.write(path, path.relative_to(package))
    code = (
        "import metadata.default as d\n"
        "assert '.zip' in d.__file__, d.__file__\n"
        "with d.default_path() as path: print(path.stat().st_size, len(d.recorded()))\n"
    )
    result = run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "all.zip")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [str((HOME / LISTS).stat().st_size), "2"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("package:nothing-of-this-name==1.0/x", "versions of nothing-of-this-name found: none"),
        ("package:pyarrow==0.0.1/pyarrow/__init__.py", "not installed"),
        ("package:pyarrow", "write package:DISTRIBUTION==VERSION/PATH"),
    ],
)
def test_a_source_that_is_not_installed_is_named(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        local_path(address)


def test_an_address_of_another_kind_stays_as_it_is() -> None:
    assert local_path("some/words.dic") == "some/words.dic"


def test_a_file_that_no_reader_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.xyz").write_text("cat\n")
    with pytest.raises(InputError, match="no reader knows"):
        list(read_packaged(str(tmp_path / "words.xyz"), "en", Tally()))


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en.dat").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with (tmp_path / "en.dat").open("rb") as file, pytest.raises(InputError, match="not Babel's"):
        _CldrUnpickler(file).load()


def test_cities_below_the_least_size_and_names_that_are_no_words_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "cities15000.json"
    path.write_text(
        '{"1": {"name": "Big", "population": 200000, "alternatenames": ["큰도시", "Gross"]},'
        ' "2": {"name": "Of", "population": 20000, "alternatenames": []},'
        ' "3": {"name": "Zone 7!", "population": 900000, "alternatenames": []}}'
    )
    tally = Tally()
    assert [e.entry for e in read_packaged(str(path), "en", tally)] == ["Big"]
    assert tally.of("words").dropped == {"not_a_name": 1}
    assert [(e.entry, e.score) for e in read_packaged(str(path), "ko", Tally())] == [("큰도시", 200000.0)]


@pytest.mark.slow
def test_the_recipe_gives_the_recorded_lists(tmp_path: Path) -> None:
    recipe = tomllib.loads((HOME / "default.toml").read_text())["metadata"]
    addresses = [a for part in ("wordnet", "words") for given in recipe[part].values() for a in given]
    try:
        for address in addresses:
            local_path(address)
        pytest.importorskip("msgpack")
        pytest.importorskip("kiwipiepy")
    except InputError as error:
        pytest.skip(f"a source of the default lists is not there: {error}")
    command = [
        sys.executable,
        "-m",
        "curation.cli",
        "metadata",
        "build",
        "--config",
        str(HOME / "default.toml"),
    ]
    run([*command, "--path", str(tmp_path / "run")], check=True, cwd=HOME.parents[1])
    table = pq.read_table(tmp_path / "run" / "metadata" / "entries" / "entries.parquet")
    assert table.equals(pq.read_table(HOME / LISTS))
    for lang, known in recorded().items():
        (found,) = (tmp_path / "run" / "metadata").glob(f"{lang}.*.txt")
        assert hashlib.sha256(found.read_bytes()).hexdigest() == known["sha256"]
