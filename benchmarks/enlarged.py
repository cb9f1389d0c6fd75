"""The pool's pictures and copies of them as the web makes them, described: what `dedup.py` searches. Cached as .npy beside its name.

    python benchmarks/enlarged.py FILE.npy [--pool ../shared/pool] [--pictures 100000] [--processes 2]

Copies are drawn by coin: a picture of the site, one of the nine transforms of `descriptor_sets` or two. They are described as they
are drawn; q40 alone is written as JPEG and read again. FILE.npy holds int8 codes (pictures, views, dimensions) in the order of a
hash, FILE.sources.npy the number of the site's picture that each is or is a copy of, FILE.json says what they are.
"""

import argparse
import io
import json
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
from descriptor_sets import COMBINED, TRANSFORMS, Dice
from PIL import Image

from curation.canonical import sha256_json
from curation.dedup import builtin
from curation.ids import coin
from curation.images import UndecodableImageError, decode

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
"""Of the site's pictures."""
_CHUNK = 200


def main() -> None:
    """Describe the pictures and their copies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--pool", type=Path, default=Path(__file__).resolve().parents[2] / "shared/pool")
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    site = arguments.pool / "site.zip"
    with zipfile.ZipFile(site) as opened:
        paths = sorted(path for path in opened.namelist() if path.lower().endswith(SUFFIXES))
    turns = -(
        -arguments.pictures * 11 // (10 * len(paths))
    )  # a tenth to spare for those that cannot be decoded
    wanted = sorted(((path, turn) for path in paths for turn in range(turns)), key=_order)
    wanted = wanted[: arguments.pictures * 11 // 10]
    by_path = sorted(wanted)
    described: dict[tuple[str, int], np.ndarray] = {}
    with ProcessPoolExecutor(arguments.processes) as pool:
        for part in pool.map(
            partial(_described, site), [by_path[i : i + _CHUNK] for i in range(0, len(by_path), _CHUNK)]
        ):
            described.update(part)
            print(len(described), end="\r", flush=True)
    kept = [key for key in wanted if key in described][: arguments.pictures]
    codes = np.stack([described[key] for key in kept])
    np.save(arguments.file, codes)
    np.save(arguments.file.with_suffix(".sources.npy"), np.searchsorted(paths, [path for path, _ in kept]))
    note = {
        "pictures": len(codes), "of_the_site": len(paths), "kind": f"builtin-{builtin.VERSION}",
        "kind_sha256": sha256_json(builtin.parameters()), "views": codes.shape[1], "query_views": builtin.QUERY_VIEWS,
        "dimension": codes.shape[2],
    }  # fmt: skip
    arguments.file.with_suffix(".json").write_text(json.dumps(note, indent=1) + "\n")


def _order(key: tuple[str, int]) -> float:
    return coin(f"{key[0]}\0{key[1]}", 0, "enlarged")


def _described(site: Path, keys: list[tuple[str, int]]) -> dict[tuple[str, int], np.ndarray]:
    found = {}
    for path, turn in keys:
        try:
            image = decode(_opened(site).read(path)).image
        except UndecodableImageError:
            continue
        found[path, turn] = builtin.codes(_changed(image, Dice(f"{path}\0{turn}", 1)) if turn else image)
    return found


@cache
def _opened(site: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(site)


def _changed(image: Image.Image, dice: Dice) -> Image.Image:
    """Return a copy of a picture."""
    names = [dice.one_of(sorted(TRANSFORMS))]
    if dice.between(0, 1) < COMBINED:
        names.append(dice.one_of(sorted(set(TRANSFORMS) - set(names))))
    for name in names:
        image = TRANSFORMS[name](image, dice)
        if name == "q40":
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=40)
            image = Image.open(stream).convert("RGB")
    return image


if __name__ == "__main__":
    main()
