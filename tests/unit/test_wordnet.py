import gzip
import io
import re
import tarfile
from pathlib import Path

import fsspec
import pytest

from curation.errors import ConfigError, InputError
from curation.stage import Tally
from metadata.entries import Entry
from metadata.wordnet import DATA, Names, read_wordnet

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
DICT = {
    "data.noun": "00001740 03 n 03 entity 0 hot_dog 0 St._Thomas 1 001 ~ 00001930 n 0000 | that which is\n"
    "00001930 03 n 01 hot_dog 0 001 @ 00001740 n 0000 | a sausage\n",
    "data.verb": "00002000 29 v 02 run 0 Run 0 000 01 + 02 00 | to go\n",
    "data.adj": "00003000 00 a 01 galore(ip) 0 000 | plenty\n00003100 00 s 02 asleep(p) 0 .22_caliber 0 000 | not awake\n"
    "00003200 00 s 01 .22 0 000 | a calibre\n",
    "data.adv": "00004000 02 r 01 o.k. 0 000 | well\n",
}


def write_dict(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(LICENCE + text)
    return folder


def write_archive(path: Path, files: dict[str, str], prefix: str = "dict/") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(prefix + name)
            data = (LICENCE + text).encode()
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read(
    path: Path | str, *, lang: str = "en", names: Names = "lemmas"
) -> tuple[list[tuple[str, float | None]], Tally]:
    tally = Tally()
    entries = list(read_wordnet(str(path), lang, tally, names=names))
    for unit in ("synsets", "lemmas"):
        tally.of(unit).close()
    assert {(e.lang, e.source) for e in entries} <= {(lang, "wordnet")}
    return [(e.entry, e.score) for e in entries], tally


def test_lemmas_are_the_words_of_all_synsets(tmp_path: Path) -> None:
    found, tally = read(write_dict(tmp_path / "dict", DICT))
    assert found == [
        ("hot dog", 2.0), (".22", 1.0), (".22 caliber", 1.0), ("Run", 1.0), ("St. Thomas", 1.0), ("asleep", 1.0),
        ("entity", 1.0), ("galore", 1.0), ("o.k.", 1.0), ("run", 1.0),
    ]  # fmt: skip
    assert tally.of("synsets").rows_out == 7
    assert (tally.of("lemmas").rows_in, tally.of("lemmas").merged) == (11, 1)


def test_synset_names_are_metaclips(tmp_path: Path) -> None:
    found, tally = read(write_dict(tmp_path / "dict", DICT), names="synsets")
    assert [name for name, _ in found] == ["asleep", "entity", "galore", "hot dog", "o", "run"]
    assert tally.of("lemmas").as_json()["dropped"] == {"empty_text": 1}


def test_folder_archive_and_store_read_alike(tmp_path: Path) -> None:
    expected = read(write_dict(tmp_path / "dict", DICT))[0]
    backwards = dict(reversed(DICT.items()))
    assert read(tmp_path)[0] == expected
    assert read(write_archive(tmp_path / "a.tar.gz", backwards))[0] == expected
    assert read(write_archive(tmp_path / "b.tgz", DICT, "WordNet-3.0/dict/"))[0] == expected
    fsspec.filesystem("memory").pipe("/wn/a.tar.gz", (tmp_path / "a.tar.gz").read_bytes())
    assert read("memory://wn/a.tar.gz")[0] == expected


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    bad = "x 03 n 01 cat 0 000 | a\n00001 03 n zz cat 0 000 |\n00001 03 n 05 cat 0\n00001\n"
    found, tally = read(write_dict(tmp_path, DICT | {"data.adv": DICT["data.adv"] + bad}))
    assert "cat" not in dict(found)
    assert tally.of("synsets").as_json()["dropped"] == {"malformed_line": 4}


def test_what_is_no_wordnet_is_refused_by_name(tmp_path: Path) -> None:
    write_dict(tmp_path / "some", {"data.noun": DICT["data.noun"]})
    empty = write_dict(tmp_path / "empty", dict.fromkeys(DATA, "not a line of synsets\n"))
    lacking = write_archive(tmp_path / "lacking.tar.gz", {"data.noun": DICT["data.noun"]})
    (tmp_path / "text.tar.gz").write_text("hello")
    whole = write_archive(tmp_path / "whole.tar.gz", DICT).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    for path in (
        tmp_path / "some",
        empty,
        lacking,
        tmp_path / "text.tar.gz",
        tmp_path / "cut.tar.gz",
        tmp_path / "none.xml",
    ):
        with pytest.raises(InputError, match=path.name):
            read(path)
    with pytest.raises(ConfigError, match="lemmas, synsets"):
        read(empty, names="words")  # type: ignore[arg-type]


LMF = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.1.dtd">
<LexicalResource xmlns:dc="https://globalwordnet.github.io/schemas/dc/">
  <Lexicon id="kwn" label="Korean" language="ko" email="a@b.c" license="https://creativecommons.org/licenses/by/4.0/" version="1">
    <LexicalEntry id="e1"><Lemma writtenForm="고양이" partOfSpeech="n"/>
      <Sense id="e1-1" synset="s1"/><Sense id="e1-2" synset="s2"/><Sense id="e1-3" synset="s2"/></LexicalEntry>
    <LexicalEntry id="e2"><Lemma writtenForm="집_고양이" partOfSpeech="n"/><Sense id="e2-1" synset="s1"/></LexicalEntry>
    <LexicalEntry id="e3"><Lemma writtenForm="뜻이 없다" partOfSpeech="v"/></LexicalEntry>
    <Synset id="s1" ili="i1" partOfSpeech="n"/><Synset id="s2" ili="i2" partOfSpeech="n"/>
  </Lexicon>
  <Lexicon id="ewn" label="English" language="eng" email="a@b.c" license="https://creativecommons.org/licenses/by/4.0/" version="1">
    <LexicalEntry id="f1"><Lemma writtenForm="cat" partOfSpeech="n"/><Sense id="f1-1" synset="t1"/></LexicalEntry>
    <Synset id="t1" ili="i1" partOfSpeech="n"/>
  </Lexicon>
</LexicalResource>
"""


def test_a_korean_wordnet_is_read_from_lmf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "a.xml").write_text(LMF)
    (tmp_path / "a.xml.gz").write_bytes(gzip.compress(LMF.encode()))
    for path in (tmp_path / "a.xml", tmp_path / "a.xml.gz"):
        found, tally = read(path, lang="ko")
        assert found == [("고양이", 2.0), ("집 고양이", 1.0)]
        assert tally.of("synsets").rows_out == 2
        assert (tally.of("lemmas").rows_in, tally.of("lemmas").merged) == (3, 1)
    assert read(tmp_path / "a.xml", lang="en")[0] == [("cat", 1.0)]
    assert not (tmp_path / "home").exists()


BOMB = LMF.replace(
    '1.1.dtd">', '1.1.dtd" [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
).replace("고양이", "&b;")


@pytest.mark.parametrize(
    "text", ["<html/>", LMF[:-40], LMF.replace("<Lemma", "<Limma"), BOMB, "", LMF.replace("-1.1.", "-9.9.")]
)
def test_what_is_no_lmf_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(InputError, match=r"a\.xml"):
        read(tmp_path / "a.xml", lang="ko")


def test_lmf_must_have_the_language_and_has_no_synset_names(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(LMF)
    with pytest.raises(InputError, match="en, ko"):
        read(tmp_path / "a.xml", lang="fr")
    with pytest.raises(ConfigError, match="lemmas"):
        read(tmp_path / "a.xml", lang="ko", names="synsets")
    data = gzip.compress(LMF.encode())
    (tmp_path / "b.xml.gz").write_bytes(data[:-20])
    with pytest.raises(InputError, match=r"b\.xml\.gz is truncated"):
        read(tmp_path / "b.xml.gz", lang="ko")


def test_the_real_wordnet_gives_the_papers_number(shared: Path) -> None:
    path = shared / "sources" / "wordnet-3.0-dict.tar.gz"
    names = {name for name, _ in read(path, names="synsets")[0]}
    assert (
        len(names | {str(number) for number in range(100)}) == 86_654
    )  # Xu et al. 2023, after numbers and WordNet
    lemmas, tally = read(path)
    with tarfile.open(path) as archive:
        synsets = 0
        forms: set[str] = set()
        for part in ("adj", "adv", "noun", "verb"):
            file = archive.extractfile(f"dict/data.{part}")
            assert file is not None
            text = file.read().decode()
            synsets += len(re.findall(r"^\d{8} ", text, re.MULTILINE))
            index = archive.extractfile(f"dict/index.{part}")
            assert index is not None
            forms |= {line.split(" ", 1)[0] for line in index.read().decode().splitlines() if line[:1] != " "}
    assert tally.of("synsets").rows_out == synsets == 117_659
    # The index files list the same words in lower case.
    assert {name.lower().replace(" ", "_") for name, _ in lemmas} == forms
    assert Entry("en", "dog", "wordnet", 8.0) in list(read_wordnet(str(path), "en", Tally()))
