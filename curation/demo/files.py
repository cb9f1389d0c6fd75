"""The files of the demo's web: drawn pictures, their copies on mirrors, icons, and addresses that misbehave."""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from PIL import Image

from curation.demo.chance import Chance
from curation.demo.concepts import Scene, draw_scene
from curation.demo.copies import EXACT, TRANSFORMS, near_duplicate
from curation.demo.draw import encode, render, suffix

DOMAIN = "demo.bicurate.test"  # .test is reserved: no such address exists outside (RFC 6761)
HOMES = {
    "en": tuple(f"{name}.{DOMAIN}" for name in ("gallery", "shop", "clipart")),
    "ko": tuple(f"{name}.ko.{DOMAIN}" for name in ("gallery", "blog")),
}
MIRRORS = (f"mirror.{DOMAIN}", f"copies.{DOMAIN}")
HOSTS = (*HOMES["en"], *HOMES["ko"], *MIRRORS)
GONE = f"gone.{DOMAIN}"  # a host that nobody serves

KOREAN_SHARE = 0.45
OPTED_OUT_SHARE = 0.015
NEAR_SHARE, EXACT_SHARE = 0.16, 0.04
ICONS = {"logo.png": (40, 16), "prev.png": (16, 16), "next.png": (16, 16), "1px.gif": (1, 1)}
HUGE_SIDE = 30_000  # pixels, as a header of some bytes claims
# addresses that misbehave: one of each kind for so many pictures, but one at the least
FAULTS = {
    "missing": 60, "no_such_host": 200, "html": 200, "half": 200, "cut": 400, "empty": 400, "private": 1000, "huge": 1000,
    "loop": 2000,
}  # fmt: skip
MOVED_PER_PICTURES = 200  # one redirect to a good picture for so many


class File(NamedTuple):
    """An address of a picture: its body (None: nothing is there) and what is true of it."""

    url: str
    body: bytes | None
    scene: Scene | None
    lang: str
    copy_of: str | None = None
    transform: str | None = None
    fault: str | None = None
    answer: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Site:
    """All files, each list in a fixed order."""

    originals: list[File]
    copies: list[File]
    faults: list[File]
    icons: list[File]

    def all(self) -> list[File]:
        """Return every address once."""
        return [*self.originals, *self.copies, *self.faults, *self.icons]


def host_of(url: str) -> str:
    """Return the host of one of the demo's addresses."""
    return url.split("/", 3)[2]


def _original(chance: Chance, number: int) -> File:
    key = f"picture {number}"
    scene = draw_scene(chance, key)
    lang = "ko" if chance.happens(f"{key}/language", KOREAN_SHARE) else "en"
    host = chance.ranked(f"{key}/host", HOMES[lang], 0.7)
    opted_out = chance.happens(f"{key}/opted out", OPTED_OUT_SHARE)
    folder = "noai" if opted_out else "images"
    if lang == "ko" and chance.happens(f"{key}/hangul name", 0.1):
        name = f"{folder}/{quote(f'그림/{scene.thing.ko}')}-{number:05d}{suffix(scene.kind)}"
    else:
        name = f"{folder}/{number // 100:03d}/p{number:05d}{suffix(scene.kind)}"
    body = encode(render(scene, chance), scene.kind)
    return File(f"http://{host}/{name}", body, scene, lang, fault="opted_out" if opted_out else None)


def _copies(chance: Chance, original: File, number: int) -> Iterator[File]:
    """Yield a picture's near-duplicate and its exact copy, where chance gives it one."""
    assert original.scene
    assert original.body
    key = f"copy {number}"
    host = chance.pick(f"{key}/host", MIRRORS)
    lang = chance.pick(f"{key}/language", ("en", "ko"))
    if chance.happens(f"{key}/near", NEAR_SHARE):
        transform = chance.pick(f"{key}/transform", sorted(TRANSFORMS))
        body = near_duplicate(original.body, transform, chance, key)
        url = f"http://{host}/m/{number:05d}-{transform}.jpg"
        yield File(url, body, original.scene, lang, original.url, transform)
    if chance.happens(f"{key}/exact", EXACT_SHARE):
        url = f"http://{host}/x/{number:05d}{suffix(original.scene.kind)}"
        yield File(url, original.body, original.scene, lang, original.url, EXACT)


def _fault(chance: Chance, kind: str, number: int) -> File:
    key = f"fault {kind} {number}"
    scene = draw_scene(chance, key)
    lang = chance.pick(f"{key}/language", ("en", "ko"))
    host = GONE if kind == "no_such_host" else chance.pick(f"{key}/host", HOMES[lang])
    url = f"http://{host}/bad/{kind}-{number}.{'png' if kind == 'huge' else 'jpg'}"
    body, answer = _misbehaviour(chance, kind, scene, url)
    return File(url, body, scene, lang, fault=kind, answer=answer)


def _misbehaviour(
    chance: Chance, kind: str, scene: Scene, url: str
) -> tuple[bytes | None, tuple[tuple[str, str], ...]]:
    """Return the body of a faulty address, and the headers that its answer has beside or instead of the usual ones."""
    if kind == "html":
        return b"<!doctype html><title>Not here any more</title><p>Please log in.</p>", ()
    if kind in {"half", "cut"}:
        whole = encode(render(scene, chance), "jpeg75")
        length = (("Content-Length", str(len(whole))),) if kind == "cut" else ()
        return whole[: len(whole) // 2], length
    if kind == "empty":
        return b"", ()
    if kind == "huge":
        return huge_png(HUGE_SIDE), ()
    if kind == "private":
        return b"", (("Location", "http://169.254.169.254/latest/meta-data/"),)
    if kind == "loop":
        return b"", (("Location", url),)
    return None, ()


def huge_png(side: int) -> bytes:
    """Return a PNG of some hundred bytes whose header claims side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _moved(original: File, number: int) -> File:
    url = f"http://{host_of(original.url)}/moved/{number}.jpg"
    answer = (("Location", original.url),)
    return File(url, b"", original.scene, original.lang, original.url, EXACT, original.fault, answer)


def _icons(host: str) -> list[File]:
    lang = "ko" if ".ko." in host else "en"
    drawn = []
    for number, (name, size) in enumerate(ICONS.items()):
        picture = Image.new("RGB", size, (90 + 40 * number, 120, 150))
        picture.paste((240, 240, 240), (size[0] // 3, size[1] // 4, size[0] * 2 // 3, size[1] * 3 // 4))
        drawn.append(
            File(f"http://{host}/static/{name}", _icon_bytes(picture, name), None, lang, fault="icon")
        )
    return drawn


def _icon_bytes(picture: Image.Image, name: str) -> bytes:
    if name.endswith(".png"):
        return encode(picture, "png")
    return bytes.fromhex(
        "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
    )


def draw_site(chance: Chance, pictures: int) -> Site:
    """Return all files of a web of so many drawn pictures; about 1,000 of them a second and core."""
    originals = [_original(chance, number) for number in range(pictures)]
    copies = [copy for number, original in enumerate(originals) for copy in _copies(chance, original, number)]
    moved = [_moved(originals[number], number) for number in range(0, pictures, MOVED_PER_PICTURES)]
    faults = [_fault(chance, kind, n) for kind, per in FAULTS.items() for n in range(max(1, pictures // per))]
    return Site(originals, [*copies, *moved], faults, [icon for host in HOSTS for icon in _icons(host)])


def answers_json(files: list[File]) -> str:
    """Return the answers that differ from "200 with the body", by host and path."""
    special = {file.url.removeprefix("http://"): dict(file.answer) for file in files if file.answer}
    return json.dumps(special, sort_keys=True, indent=0)
