"""A small web server for tests that misbehaves the way servers do: each path writes raw bytes to the socket.

`with BadServer() as server: server.url("/ok.jpg")`. It counts the requests of each path in `server.hits`.
"""

import io
import socket
import socketserver
import ssl
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from PIL import Image

REDIRECT, OK = "302 Found", "200 OK"


def picture(kind: str = "JPEG", size: tuple[int, int] = (16, 12), shade: int = 90) -> bytes:
    """Draw a picture; other shades are other bytes."""
    body = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256 % 256, 40)).save(body, kind)
    return body.getvalue()


def answer(body: bytes, *headers: str, status: str = OK, length: int | None = None) -> bytes:
    """Lay out an answer of HTTP/1.1; `length` lies about the body, -1 leaves the header out."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length != -1:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def gzipped(body: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    return deflate.compress(body) + deflate.flush()


class _Handler(socketserver.StreamRequestHandler):
    server: "BadServer"

    def handle(self) -> None:
        while True:
            lines = []
            while (line := self.rfile.readline(70_000)) not in {b"\r\n", b""}:
                lines.append(line.decode("latin-1").strip())
            if not lines:
                return
            path = lines[0].split(" ")[1]
            self.server.hits[path.partition("?")[0]] += 1
            self.server.requests.append(lines)
            try:
                if not self.server.serve(path, self.wfile.write, self.server.hits[path.partition("?")[0]]):
                    return
            except OSError:
                return


class BadServer(socketserver.ThreadingTCPServer):
    """Serves on the loopback interface, on any free port."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.hits: Counter[str] = Counter()
        self.requests: list[list[str]] = []
        self.port = self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        if self.context is None:
            return accepted, address
        try:
            return self.context.wrap_socket(accepted, server_side=True), address
        except OSError:
            accepted.close()
            raise

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def serve(self, path: str, write: Callable[[bytes], object], hit: int) -> bool:
        """Write the answer to a path; return whether the connection stays open."""
        if path.startswith("/pic/"):  # /pic/17.jpg: a picture of that shade
            kind = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF"}
            stem, _, ending = path.partition("?")[0].removeprefix("/pic/").partition(".")
            write(answer(picture(kind[ending], shade=int(stem))))
            return True
        if path in FIXED:
            whole, stays = FIXED[path]
            write(whole)
            return stays
        if path in SPECIAL:
            return SPECIAL[path](self, write, hit)
        if path.startswith("/to/"):  # /to/http://...: a redirect there
            write(answer(b"moved", f"Location: {path.removeprefix('/to/')}", status=REDIRECT))
            return True
        write(answer(b"no such page", status="404 Not Found"))
        return True


def _drip(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
    whole = answer(picture())
    for at in range(len(whole)):
        write(whole[at : at + 1])
        time.sleep(0.1)
    return False


def _drip_head(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
    write(b"HTTP/1.1 200 OK\r\n")
    for number in range(200):
        write(f"X-{number}: ".encode())
        time.sleep(0.1)
        write(b"y\r\n")
    return False


def _silent(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
    time.sleep(3)
    return False


def _endless(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
    write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff")
    for _ in range(1_000):
        write(bytes(1 << 16))
    return False


def _chunked(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
    body = picture()
    write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    write(b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (100, body[:100], len(body) - 100, body[100:]))
    return True


def _chunk_cut(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
    write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + picture()[:100])
    return False


def _first(bad: bytes, stays: bool) -> Callable[[BadServer, Callable[[bytes], object], int], bool]:
    def serve(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
        write(bad if hit == 1 else answer(picture()))
        return stays or hit > 1

    return serve


def _drop_idle(server: BadServer, write: Callable[[bytes], object], hit: int) -> bool:
    write(answer(picture()))  # says nothing of closing, and closes
    return False


_JPEG, _PNG, _WEBP = picture(), picture("PNG"), picture("WEBP")
_THUMBNAIL = b"\xff\xe1" + (len(_JPEG) + 2).to_bytes(2, "big") + _JPEG  # a segment that holds an end mark
FIXED: dict[str, tuple[bytes, bool]] = {
    "/ok.jpg": (answer(_JPEG), True),
    "/noai.jpg": (answer(_JPEG, "X-Robots-Tag: noindex", "X-Robots-Tag: noai"), True),
    "/noai-date.jpg": (
        answer(_JPEG, "X-Robots-Tag: noai, unavailable_after: 25 Jun 2030 15:00:00 PST"),
        True,
    ),
    "/otherbot.jpg": (answer(_JPEG, "X-Robots-Tag: otherbot: noai, noimageai"), True),
    "/noai-hop.jpg": (
        answer(b"", "Location: /ok.jpg", "X-Robots-Tag: noimageai", status=REDIRECT),
        True,
    ),
    "/noai-404.jpg": (answer(b"", "X-Robots-Tag: noai", status="404 Not Found"), True),
    "/gone.jpg": (answer(b"", status="410 Gone"), True),
    "/busy.jpg": (answer(b"", status="503 Service Unavailable"), True),
    "/page.jpg": (answer(b"<!DOCTYPE html><html><body>not here</body></html>"), True),
    "/comment.jpg": (answer(b"<!-- a -->" * 200 + b"x"), True),
    "/drawing.svg": (
        answer(b'<?xml version="1.0"?>\n<!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>'),
        True,
    ),
    "/empty.jpg": (answer(b""), True),
    "/nothing.jpg": (answer(b"", status="204 No Content", length=-1), True),
    "/cut.jpg": (answer(_JPEG[:-200], length=len(_JPEG)), False),
    "/no-eoi.jpg": (answer(_JPEG[:-3]), True),
    "/no-eoi-thumbnail.jpg": (answer(_JPEG[:2] + _THUMBNAIL + _JPEG[2:-3]), True),
    "/thumbnail.jpg": (answer(_JPEG[:2] + _THUMBNAIL + _JPEG[2:]), True),
    "/no-iend.png": (answer(_PNG[:-12]), True),
    "/short.webp": (answer(_WEBP[:-10]), True),
    "/head-only.png": (answer(_PNG[:20]), True),
    "/broken.png": (answer(_PNG[:12] + b"XXXX" + _PNG[16:]), True),
    "/bomb.png": (answer(picture("PNG", (9_000, 9_000))), True),
    "/tiny.png": (answer(picture("PNG", (4, 90))), True),
    "/large.jpg": (answer(b"\xff\xd8\xff", length=1 << 40), False),
    "/gzip.jpg": (answer(gzipped(_JPEG), "Content-Encoding: gzip"), True),
    "/gzip-bomb.jpg": (answer(gzipped(bytes(8 << 20)), "Content-Encoding: gzip"), True),
    "/gzip-cut.jpg": (answer(gzipped(_JPEG)[:-30], "Content-Encoding: gzip"), True),
    "/brotli.jpg": (answer(_JPEG, "Content-Encoding: br"), True),
    "/loop.jpg": (answer(b"", "Location: /loop.jpg", status=REDIRECT), True),
    "/ping.jpg": (answer(b"", "Location: /pong.jpg", status=REDIRECT), True),
    "/pong.jpg": (answer(b"", "Location: /ping.jpg", status=REDIRECT), True),
    "/open-hop.jpg": (answer(b"", "Location: /ok.jpg", status=REDIRECT, length=-1), True),  # and never closes
    "/cut-hop.jpg": (answer(b"moved", "Location: /ok.jpg", status=REDIRECT, length=50), False),
    "/nowhere.jpg": (answer(b"", status=REDIRECT), True),
    "/to-file.jpg": (answer(b"", "Location: file:///etc/passwd", status=REDIRECT), True),
    "/to-ftp.jpg": (answer(b"", "Location: ftp://127.0.0.1/x", status=REDIRECT), True),
    "/to-metadata.jpg": (answer(b"", "Location: http://169.254.169.254/latest/", status=REDIRECT), True),
    "/to-bad-port.jpg": (answer(b"", "Location: http://a:99999/", status=REDIRECT), True),
    "/to-korean.jpg": (
        answer(b"", "Location: /pic/7.jpg?q=\xea\xb0\x80", status="308 Permanent Redirect"),
        True,
    ),
    "/garbage.jpg": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False),
    "/hang-up.jpg": (b"", False),
    "/many-headers.jpg": (answer(_JPEG, *(f"X-{n}: y" for n in range(500))), False),
    "/long-header.jpg": (answer(_JPEG, "X-Long: " + "y" * 100_000), False),
    "/bad-length.jpg": (answer(_JPEG, "Content-Length: many", length=-1), False),
    "/close.jpg": (answer(_JPEG, "Connection: close"), False),
    "/no-length.jpg": (answer(_JPEG, length=-1), False),
}
SPECIAL: dict[str, Callable[[BadServer, Callable[[bytes], object], int], bool]] = {
    "/drip.jpg": _drip,
    "/drip-head.jpg": _drip_head,
    "/silent.jpg": _silent,
    "/endless.jpg": _endless,
    "/chunked.jpg": _chunked,
    "/chunk-cut.jpg": _chunk_cut,
    "/busy-once.jpg": _first(answer(b"", status="429 Too Many Requests"), stays=True),
    "/hang-up-once.jpg": _first(b"", stays=False),
    "/cut-once.jpg": _first(answer(_JPEG[:-200], length=len(_JPEG)), stays=False),
    "/drop-idle.jpg": _drop_idle,
}


@contextmanager
def bad_server(context: ssl.SSLContext | None = None) -> Iterator[BadServer]:
    """Give a server that runs; with a context it speaks TLS."""
    with BadServer(context) as server:
        yield server
