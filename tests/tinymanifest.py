"""A manifest's folder, drawn in a moment: coloured shapes with captions in two languages, as the manifest stage lays it out."""

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from curation.ids import coin, image_id, pair_id
from curation.schemas import TABLES

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (230, 210, 50)}
SHAPES = ("circle", "square", "triangle", "cross")
KOREAN = {"red": "빨간", "green": "초록색", "blue": "파란", "yellow": "노란"} | {
    "circle": "원",
    "square": "사각형",
    "triangle": "삼각형",
    "cross": "십자가",
}
ENGLISH_FORMS = ("a {} {}", "{} {} on a plain ground", "photo of a {} {}", "one {} {}, drawn")
KOREAN_FORMS = ("{} {}", "{} {} 그림", "배경 위의 {} {}", "{} {} 하나")


def draw(colour: str, shape: str, key: str, side: int) -> Image.Image:
    """Draw a shape at a place, of a size and on a ground that the key's coins choose."""
    x, y, size, ground = (coin(key, 0, purpose) for purpose in ("x", "y", "size", "ground"))
    half = side * (0.2 + 0.15 * size)
    left, top = half + x * (side - 2 * half), half + y * (side - 2 * half)
    image = Image.new("RGB", (side, side), (int(150 + 100 * ground),) * 3)
    pen, fill, box = (
        ImageDraw.Draw(image),
        COLOURS[colour],
        (left - half, top - half, left + half, top + half),
    )
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    elif shape == "triangle":
        pen.polygon([(left, top - half), (left - half, top + half), (left + half, top + half)], fill=fill)
    else:
        third = half / 3
        pen.rectangle((left - half, top - third, left + half, top + third), fill=fill)
        pen.rectangle((left - third, top - half, left + third, top + half), fill=fill)
    return image


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """Encode a picture."""
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def picture_row(
    body: bytes, caption: str, lang: str, number: int, *, split: str, selected: bool
) -> dict[str, object]:
    """Return a manifest's row, without its place in a shard."""
    url = f"https://tiny.example/{number}.png"
    return {
        "pair_id": pair_id(url, caption), "url": url, "text": caption, "caption": caption, "lang": lang, "entry_ids": [],
        "mixed_lang": None, "mixed_entry_ids": None, "image_id": image_id(body), "source_image_id": image_id(body),
        "inherited": False, "keep_prob_wanted": 1.0, "keep_prob": 1.0, "coin": 0.5, "selected": selected,
        "width": 0, "height": 0, "split": split,
    }  # fmt: skip


def write_folder(
    folder: Path, rows: list[dict[str, object]], bodies: dict[str, bytes], *, files: int = 1
) -> Path:
    """Write rows and pictures as a manifest's folder: two tar shards and `files` Parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, tuple[str, int, int]] = {}
    for shard in range(2):
        name = f"{shard:05d}.tar"
        with tarfile.open(folder / name, "w") as tar:
            for key in sorted(bodies)[shard::2]:
                info = tarfile.TarInfo(f"{key}.png")
                info.size = len(bodies[key])
                places[key] = (name, tar.offset + 512, info.size)
                tar.addfile(info, io.BytesIO(bodies[key]))
    for row in rows:
        row["shard"], row["offset"], row["size"] = places[str(row["image_id"])]
    (folder / "manifest.parquet").mkdir()
    for part in range(files):
        table = pa.Table.from_pylist(rows[part::files], schema=TABLES["manifest"])
        pq.write_table(table, folder / "manifest.parquet" / f"part-{part:05d}.parquet")
    return folder


def shapes_folder(
    folder: Path, *, pictures: int = 64, heldout: int = 16, side: int = 32, languages: tuple[str, ...] = ("en", "ko"),
    files: int = 1,
) -> Path:  # fmt: skip
    """Write a folder of coloured shapes: a caption in each language a picture; the last `heldout` pictures are held out."""
    rows, bodies = [], {}
    for number in range(pictures + heldout):
        colour, shape = list(COLOURS)[number % 4], SHAPES[number // 4 % 4]
        body = encoded(draw(colour, shape, str(number), side))
        bodies[image_id(body)] = body
        split = "train" if number < pictures else "heldout"
        for lang in languages:
            forms = ENGLISH_FORMS if lang == "en" else KOREAN_FORMS
            form = forms[int(coin(f"{number}{lang}", 0, "form") * len(forms))]
            words = (colour, shape) if lang == "en" else (KOREAN[colour], KOREAN[shape])
            selected = split == "train"
            rows.append(picture_row(body, form.format(*words), lang, number, split=split, selected=selected))
    return write_folder(folder, rows, bodies, files=files)
