"""Builds the demo's web in a folder: site, WAT files, entry lists and the truth about all of them.

    FOLDER/wat/*.warc.wat.gz   the pages as a crawl's metadata
    FOLDER/site.zip            every file, for `curation.demo.server`
    FOLDER/entries.parquet     lang, entry, source
    FOLDER/pictures.parquet    url -> object, colour, count, ground, ground_colour, copy_of, transform, fault
    FOLDER/captions.parquet    (url, text) -> lang, kind, right
    FOLDER/objects.json        the objects as classes for `evaluate.classes`, with objects.parquet; colours.json likewise
    FOLDER/web.json            what was built, and how much of it

Equal (seed, pictures) give equal bytes. Run: `build(Path("runs/demo/web"), seed=0, pictures=3000)`.
"""

import json
import os
import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
import pyarrow.parquet as pq

from curation.canonical import sha256_json
from curation.demo import entries
from curation.demo.chance import Chance
from curation.demo.files import HOSTS, Site, answers_json, draw_site
from curation.demo.pages import Page, as_html, lay_out
from curation.demo.server import ANSWERS_FILE, SITE_FILE
from curation.demo.truth import CLASS_SETS, caption_table, picture_table, write_classes
from curation.demo.wat import broken_records, wat_files
from curation.errors import ConfigError, InputError

VERSION = 3
PICTURES = 4_000  # drawn pictures where nothing else is asked
WAT_FILES = 4
WEB_FILE = "web.json"
TIME = 1_767_225_600  # 2026-01-01, UTC: the time of every file, so that a web built again is the same input
ZIP_TIME = (2026, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class DemoWeb:
    """A built web: where its parts lie, its hosts, and how much there is of everything."""

    folder: Path
    seed: int
    counts: dict[str, int]
    """pictures, copies, faults, files, pages, links, texts, captions (distinct pairs of url and text)."""
    kinds: dict[str, int]
    """Texts by kind: clean, sale, wrong, junk, spam, other, mixed, empty."""
    broken: dict[str, int]
    """Broken records and links of the WAT files by kind; `truncated` is the record in which the last file ends."""

    @property
    def wat(self) -> str:
        """Glob of the WAT files."""
        return str(self.folder / "wat" / "*.warc.wat.gz")

    @property
    def entries(self) -> Path:
        """Entry lists of both languages, Parquet."""
        return self.folder / "entries.parquet"

    @property
    def pictures(self) -> Path:
        """Truth of every address, Parquet."""
        return self.folder / "pictures.parquet"

    @property
    def captions(self) -> Path:
        """Truth of every pair of address and text, Parquet."""
        return self.folder / "captions.parquet"

    @property
    def classes(self) -> Path:
        """The objects as classes, JSON in the form of `trainer.classes`."""
        return self.folder / "objects.json"

    @property
    def class_sets(self) -> tuple[Path, ...]:
        """Every set of classes, for `evaluate.classes`: objects and colours."""
        return tuple(self.folder / f"{name}.json" for name in CLASS_SETS)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that the server answers for; the links name one more, which nobody serves."""
        return HOSTS

    def resolve(self, address: str) -> dict[str, str]:
        """Return `host:80` to the server's address, for `download.resolve`."""
        return {f"{host}:80": address for host in self.hosts}


def build(folder: Path, *, seed: int = 0, pictures: int = PICTURES) -> DemoWeb:
    """Return the web of (seed, pictures) in a folder, built unless it is there already; about 1,000 pictures a second and core.

    Raises ConfigError for fewer than 1 picture, InputError where the folder holds something else than such a web.
    """
    if pictures < 1:
        raise ConfigError(f"the demo's pictures are {pictures}: 1 or more are needed")
    wanted = {"version": VERSION, "seed": seed, "pictures": pictures, "pillow": PIL.__version__}
    found = _built(folder)
    if found and all(found.get(key) == value for key, value in wanted.items()):
        return _as_web(folder, found)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write(temporary, Chance(seed), wanted)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    built = _built(folder)
    assert built
    return _as_web(folder, built)


def _built(folder: Path) -> dict[str, Any] | None:
    if not folder.exists():
        return None
    try:
        found: dict[str, Any] = json.loads((folder / WEB_FILE).read_text())
    except (OSError, ValueError):
        if folder.is_dir() and not any(folder.iterdir()):
            return None
        raise InputError(
            f"{folder} holds something else than a demo's web; name another folder or remove it"
        ) from None
    return found


def _as_web(folder: Path, found: dict[str, Any]) -> DemoWeb:
    return DemoWeb(
        folder=folder,
        seed=found["seed"],
        counts=found["counts"],
        kinds=found["kinds"],
        broken=found["broken"],
    )


def _write(folder: Path, chance: Chance, wanted: dict[str, Any]) -> None:
    site = draw_site(chance, wanted["pictures"])
    pages = lay_out(site, chance)
    _write_site(folder / SITE_FILE, site, pages)
    (folder / "wat").mkdir()
    for name, content in wat_files(pages, WAT_FILES).items():
        (folder / "wat" / name).write_bytes(content)
    captions, shown = caption_table(pages), picture_table(site.all())
    pq.write_table(entries.table(), folder / "entries.parquet")
    pq.write_table(shown, folder / "pictures.parquet")
    pq.write_table(captions, folder / "captions.parquet")
    write_classes(folder, shown)
    texts = [text for page in pages for link in page.links for _, text in link.texts]
    record = wanted | {
        "counts": _counts(site, pages)
        | {"texts": sum(bool(text.text) for text in texts), "captions": captions.num_rows},
        "kinds": dict(Counter(text.kind for text in texts)),
        "broken": dict(Counter(kind for kind, _ in broken_records())) | {"truncated": 1},
    }
    (folder / WEB_FILE).write_text(_json(record | {"sha256": sha256_json(record)}), encoding="utf-8")
    for path in folder.rglob("*"):
        os.utime(path, (TIME, TIME))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _counts(site: Site, pages: list[Page]) -> dict[str, int]:
    return {
        "pictures": len(site.originals),
        "copies": len(site.copies),
        "faults": len(site.faults),
        "files": len(site.all()),
        "pages": len(pages),
        "links": sum(len(page.links) for page in pages),
    }


def _write_site(path: Path, site: Site, pages: list[Page]) -> None:
    """Write the zip of all bodies, by host and path, uncompressed and in order."""
    bodies = {file.url.removeprefix("http://"): file.body for file in site.all() if file.body is not None}
    bodies |= {page.url.removeprefix("http://"): as_html(page) for page in pages}
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(bodies):
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), bodies[name])
        archive.writestr(zipfile.ZipInfo(ANSWERS_FILE, ZIP_TIME), answers_json(site.all()))
