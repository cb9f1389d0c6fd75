"""What is true of the demo's web: of every address, of every pair of address and text, and of the classes to tell apart."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.demo.concepts import colour_labels, labels
from curation.demo.files import File
from curation.demo.pages import Page
from curation.ids import canonical_url

PICTURES = pa.schema(
    [pa.field("url", pa.string(), nullable=False), ("object", pa.string()), ("colour", pa.string())]
    + [("count", pa.int32())]
    + [(name, pa.string()) for name in ("ground", "ground_colour", "copy_of", "transform", "fault")]
)
CAPTIONS = pa.schema(
    [
        pa.field(name, pa.bool_() if name == "right" else pa.string(), nullable=False)
        for name in ("url", "text", "lang", "kind", "right")
    ]
)
COLOURED_GROUNDS = frozenset({"plain", "striped", "dotted", "gradient"})
# the column of PICTURES that a set of classes asks for, and its templates: phrases as the captions have them
CLASS_SETS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "objects": (
        "object",
        {
            "en": ["{}", "a red {}", "a blue {}", "a green {}", "{} clip art"],
            "ko": ["{}", "빨간 {}", "파란 {}", "초록 {}", "노란 {}이(가) 있는 그림"],
        },
    ),
    "colours": (
        "colour",
        {
            "en": ["{} star", "{} heart", "{} cat", "{} flower", "{} car"],
            "ko": ["{} 별", "{} 하트", "{} 고양이", "{} 꽃", "{} 자동차"],
        },
    ),
}


def picture_table(files: Iterable[File]) -> pa.Table:
    """Return a row an address, sorted; icons show nothing, so their object is null."""
    rows = []
    for file in sorted(files, key=lambda file: file.url):
        row: dict[str, Any] = {"url": file.url, "copy_of": file.copy_of}
        row |= {"transform": file.transform, "fault": file.fault}
        if file.scene:
            row |= {"object": file.scene.thing.en, "colour": file.scene.colour.en, "count": file.scene.count}
            row["ground"] = file.scene.ground.key
            if file.scene.ground.key in COLOURED_GROUNDS:
                row["ground_colour"] = file.scene.ground_colour.en
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=PICTURES)


def caption_table(pages: Iterable[Page]) -> pa.Table:
    """Return every pair of address and text once, sorted; a pair that names the picture rightly anywhere is right."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for page in pages:
        for link in page.links:
            url = canonical_url(link.url)
            for _, text in link.texts:
                if text.text and not rows.get((url, text.text), {}).get("right"):
                    rows[url, text.text] = {"url": url} | text._asdict()
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=CAPTIONS)


def write_classes(folder: Path, pictures: pa.Table) -> None:
    """Write NAME.json, in the form of `trainer.classes`, and NAME.parquet (url, class) of each set of classes."""
    for name, (column, templates) in CLASS_SETS.items():
        names = labels() if column == "object" else colour_labels()
        shown = pictures.select(["url", column]).rename_columns(["url", "class"]).drop_null()
        pq.write_table(shown, folder / f"{name}.parquet")
        languages = {lang: {"labels": names[lang], "templates": templates[lang]} for lang in templates}
        images = {"file": f"{name}.parquet", "key": "url"}
        content = {"name": name, "languages": languages, "images": images}
        (folder / f"{name}.json").write_text(
            json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
