"""Serves the demo's web on the loopback interface, all hosts on one port: `with serve(folder) as address:`.

A host is found by the Host header, or, where that is the address of the server itself, by the first part of the path:
http://127.0.0.1:PORT/gallery.demo.bicurate.test/pages/en/0.html. Everything lies in memory; standard library only.
"""

import json
import mimetypes
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from curation.errors import InputError

SITE_FILE = "site.zip"
ANSWERS_FILE = "answers.json"  # in it: headers that replace or add to the usual ones, by host and path
OPT_OUT_FOLDER = "/noai/"
OPT_OUT = "noai, noimageai"


def _load(folder: Path) -> tuple[dict[str, bytes], dict[str, dict[str, str]]]:
    try:
        with zipfile.ZipFile(folder / SITE_FILE) as site:
            bodies = {name: site.read(name) for name in site.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{folder / SITE_FILE} cannot be opened ({error}); build the demo's web first"
        ) from error
    return bodies, json.loads(bodies.pop(ANSWERS_FILE))


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD from the server's memory."""

    protocol_version = "HTTP/1.1"  # keep-alive
    wbufsize = 1 << 16  # headers and body leave in one packet
    disable_nagle_algorithm = True
    timeout = 30
    server: "_Server"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].partition("#")[0]
        host = self.headers.get("Host", "").partition(":")[0].lower()
        name = host + path if host in self.server.hosts else path.lstrip("/")
        headers = {"Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream"}
        if OPT_OUT_FOLDER in name:
            headers["X-Robots-Tag"] = OPT_OUT
        body = self.server.bodies.get(name)
        answer = self.server.answers.get(name, {})
        if "Location" in answer:
            self._reply(HTTPStatus.FOUND, b"", headers | answer)
        elif body is None:
            self._reply(HTTPStatus.NOT_FOUND, b"not found", {"Content-Type": "text/plain"})
        else:
            self._reply(HTTPStatus.OK, body, headers | answer)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server asks for

    def _reply(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
            self.send_header(name, value)
        if headers.get("Content-Length", str(len(body))) != str(len(body)):
            self.close_connection = True  # the body stops short of its stated length
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: thousands of requests are expected."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, folder: Path) -> None:
        self.bodies, self.answers = _load(folder)
        self.hosts = {name.partition("/")[0] for name in (*self.bodies, *self.answers)}
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a built web and yield "127.0.0.1:PORT"; the port is free and chosen by the system.

    Raises InputError where the folder holds no built web.
    """
    server = _Server(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
