"""The guarded fetch of one address: step download.

Only http and https; the connection goes to an address that was checked (`curation.hosts`), each redirect is checked again;
body, redirects, single waits and the whole are bounded; an opt-out is honoured on every answer. `Fetcher.fetch` never raises.
"""

import functools
import http.client
import io
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from curation.config import DownloadSection
from curation.errors import Reason
from curation.hosts import FetchError, Resolver
from curation.opt_out import agent_names, opt_out

MAX_NOTE = 200  # characters of detail and evidence
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 18  # bytes a read
_DRAINED = 1 << 16  # a body that nobody wants is read up to this, to keep the connection
_KEPT_CONNECTIONS = 8  # idle ones a thread
_PAUSE, _LONGEST_PAUSE = 0.25, 5.0  # seconds before the first further try (doubled each time), and at most
_PLAIN = "!#$%&'()*+,/:;=?@[]~"  # left as they are in a path that comes half quoted, as browsers do
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_UNSEEN = re.compile(r"[^\x20-\x7e\xa0-\u024f]")


class Target(NamedTuple):
    """An address, taken apart: what is connected to, and what is asked there."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The address as text, without user info."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(kw_only=True)
class Fetched:
    """What came of one address: a body, or a reason."""

    body: bytes = b""
    reason: Reason | None = None
    detail: str | None = None
    http_status: int | None = None
    """Status of the last answer."""
    opt_out: str | None = None
    """The header that opts out, verbatim, whether it is honoured or not."""
    fetched_at: str = field(default_factory=_now)
    """Time of the last answer, or of the try where there was none."""


def parse_target(url: str, *, reason: Reason | None = None) -> Target:
    """Take an address apart and bring it to ASCII. Raises FetchError with `reason`, else NOT_HTTP or BAD_URL."""
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError as error:
        raise FetchError(reason or Reason.BAD_URL, str(error)) from None
    if scheme not in _PORTS:
        raise FetchError(reason or Reason.NOT_HTTP, f"scheme {scheme!r}")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise FetchError(reason or Reason.BAD_URL, f"host {host!r}") from None
    if not host or re.search(r"[\x00-\x20\x7f]", host):
        raise FetchError(reason or Reason.BAD_URL, f"host {host!r}")
    path = quote(parts.path or "/", safe=_PLAIN, errors="replace")
    query = "?" + quote(parts.query, safe=_PLAIN, errors="replace") if parts.query else ""
    return Target(scheme, host, _PORTS[scheme] if port is None else port, path + query)


class _Reader(io.RawIOBase):
    """The reading side of a socket, where every wait ends at the deadline."""

    def __init__(self, wire: "_Wire") -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # narrower than a WriteableBuffer
        self._wire.arm()
        if (
            _QUICK_ACK is not None
        ):  # a server that holds its second packet back for our ACK would get it after 40 ms
            self._wire.sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        return self._wire.sock.recv_into(buffer)


class _Wire:
    """A connection, plain or TLS, that serves requests one after another; `http.client.HTTPResponse` reads from it."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self.sock = sock
        self.timeout = timeout
        self.deadline = 0.0  # on the monotonic clock

    def arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(min(self.timeout, left))

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_Reader(self), 1 << 16)

    def send(self, request: bytes, deadline: float) -> http.client.HTTPResponse:
        """Send a request and read the answer's head."""
        self.deadline = deadline
        self.arm()
        self.sock.sendall(request)
        response = http.client.HTTPResponse(self, method="GET")  # type: ignore[arg-type] # only makefile is used
        response.begin()
        return response


def _none(url: str) -> None:  # noqa: ARG001 - the removal list of a run that has none
    return None


class Fetcher:
    """Fetches addresses one after another, and keeps connections alive; one a thread, with a resolver in common."""

    def __init__(
        self, section: DownloadSection, resolver: Resolver, removed: Callable[[str], str | None] = _none
    ) -> None:
        """removed: says by which rule of the removal list an address must not be asked, redirects included."""
        self._section = section
        self._removed = removed
        self._resolver = resolver
        self._names = agent_names(section.user_agent)
        self._wires: dict[tuple[str, str, int], _Wire] = {}

    def fetch(self, url: str) -> Fetched:
        """Fetch an address: its body, or the reason for which there is none. Never raises."""
        deadline = time.monotonic() + self._section.total_timeout
        for attempt in range(self._section.retries + 1):
            found = Fetched()
            try:
                found.body = self._follow(url, deadline, found)
            except FetchError as error:
                found.reason, found.detail = error.reason, _clean(error.detail)
                pause = min(_PAUSE * 2**attempt, _LONGEST_PAUSE)
                if error.again and attempt < self._section.retries and time.monotonic() + pause < deadline:
                    time.sleep(pause)
                    continue
            except Exception as error:  # noqa: BLE001 - whatever a server makes our libraries do is the outcome of its address
                found.reason, found.detail = Reason.NO_CONNECTION, _clean(f"{type(error).__name__}: {error}")
            break
        return found

    def close(self) -> None:
        """Close the idle connections."""
        while self._wires:
            self._wires.popitem()[1].sock.close()

    def _follow(self, url: str, deadline: float, found: Fetched) -> bytes:
        """Follow redirects to a body; note status and opt-out in `found` on the way."""
        target = parse_target(url)
        seen: set[Target] = set()
        while len(seen) <= self._section.max_redirects:
            if target in seen:
                raise FetchError(Reason.TOO_MANY_REDIRECTS, f"a loop over {target.url}")
            seen.add(target)
            if rule := self._removed(target.url):
                raise FetchError(Reason.REMOVED, f"{rule} in the removal list")
            with self._answer(target, deadline) as response:
                self._note(response, found)
                if response.status not in REDIRECTS:
                    return self._body(response)
                target = _next_target(target, response)
                _drain(response)
        raise FetchError(Reason.TOO_MANY_REDIRECTS, f"more than {self._section.max_redirects}")

    def _note(self, response: http.client.HTTPResponse, found: Fetched) -> None:
        found.http_status, found.fetched_at = response.status, _now()
        evidence = opt_out(response.headers.get_all("X-Robots-Tag", []), self._names)
        if evidence is not None and found.opt_out is None:
            found.opt_out = _clean(f"X-Robots-Tag: {evidence}")
        if found.opt_out and self._section.respect_opt_out:
            raise FetchError(Reason.OPTED_OUT, found.opt_out)

    @contextmanager
    def _answer(self, target: Target, deadline: float) -> Iterator[http.client.HTTPResponse]:
        """Give the answer to a request; afterwards keep the connection where it was read to its end, else close it."""
        wire: _Wire | None = None
        response: http.client.HTTPResponse | None = None
        try:
            with _translated():
                wire, response = self._send(target, deadline)
                yield response
        finally:
            if wire and response and response.isclosed() and not response.will_close:
                self._keep(target, wire)
            elif wire:
                wire.sock.close()

    def _send(self, target: Target, deadline: float) -> tuple[_Wire, http.client.HTTPResponse]:
        lines = (
            f"GET {target.path} HTTP/1.1",
            f"Host: {target.authority}",
            f"User-Agent: {_clean(self._section.user_agent)}",
            "Accept: image/*,*/*;q=0.5",
            "Accept-Encoding: identity",
        )
        request = "".join(line + "\r\n" for line in (*lines, "")).encode("latin-1", "replace")
        kept = self._wires.pop(target[:3], None)
        if kept is not None:
            try:
                return kept, kept.send(request, deadline)
            except (OSError, http.client.HTTPException):
                kept.sock.close()  # the server has closed it meanwhile: that is no try
        wire = self._connect(target, deadline)
        try:
            return wire, wire.send(request, deadline)
        except BaseException:
            wire.sock.close()
            raise

    def _connect(self, target: Target, deadline: float) -> _Wire:
        """Connect to the first address that answers, of those that were checked."""
        failure: OSError = TimeoutError()
        limit = min(self._section.timeout, deadline - time.monotonic())
        for address, port in self._resolver.endpoints(target.host, target.port, limit):
            limit = min(self._section.timeout, deadline - time.monotonic())
            if limit <= 0:
                break
            try:
                sock = connect(address, port, limit)
            except OSError as error:
                failure = error
                continue
            if target.scheme == "https":
                sock = _secured(
                    sock, target, min(self._section.timeout, max(deadline - time.monotonic(), 0.001))
                )
            return _Wire(sock, self._section.timeout)
        raise failure

    def _keep(self, target: Target, wire: _Wire) -> None:
        if len(self._wires) >= _KEPT_CONNECTIONS:
            self._wires.pop(next(iter(self._wires))).sock.close()
        self._wires[target[:3]] = wire

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """Read a body, bounded. Raises FetchError for a status, a size or an end that is not as it should be."""
        status, declared, limit = response.status, response.length, self._section.max_bytes
        if status not in {200, 203}:
            again = status == http.client.TOO_MANY_REQUESTS or status >= http.client.INTERNAL_SERVER_ERROR
            _drain(response)
            raise FetchError(Reason.HTTP_STATUS, str(status), again=again)
        if declared is not None and declared > limit:
            raise FetchError(Reason.BODY_TOO_LARGE, f"Content-Length {declared} is above {limit}")
        body = _read(response, limit)
        if declared is not None and len(body) < declared:
            raise FetchError(Reason.BODY_TRUNCATED, f"{len(body)} of {declared} bytes", again=True)
        body = _decoded(body, response.headers.get("Content-Encoding", "").strip().lower(), limit)
        if not body:
            raise FetchError(Reason.BODY_EMPTY, "0 bytes")
        return body


def connect(address: str, port: int, seconds: float) -> socket.socket:
    """Connect to a numeric address; no name is looked up. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _secured(sock: socket.socket, target: Target, seconds: float) -> socket.socket:
    try:
        sock.settimeout(seconds)  # the whole handshake's
        return _tls().wrap_socket(sock, server_hostname=target.host)
    except BaseException:
        sock.close()
        raise


def _next_target(target: Target, response: http.client.HTTPResponse) -> Target:
    location = response.headers.get("Location")
    if not location:
        raise FetchError(Reason.BAD_REDIRECT, f"{response.status} without Location")
    text = location.encode("latin-1", "replace").decode(
        "utf-8", "replace"
    )  # http.client reads headers as latin-1
    try:
        return parse_target(urljoin(target.url, text.strip()), reason=Reason.BAD_REDIRECT)
    except ValueError as error:
        raise FetchError(Reason.BAD_REDIRECT, str(error)) from None


def _drain(response: http.client.HTTPResponse) -> None:
    """Read a small body that nobody wants, so that the connection can be kept."""
    if response.length is not None and response.length <= _DRAINED:
        with suppress(OSError, http.client.HTTPException):
            response.read(_DRAINED)


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    parts, size = [], 0
    try:
        while part := response.read(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise FetchError(Reason.BODY_TOO_LARGE, f"more than {limit} bytes")
    except (http.client.HTTPException, ConnectionError, ssl.SSLError):
        raise FetchError(Reason.BODY_TRUNCATED, "the connection ended in the body", again=True) from None
    return b"".join(parts)


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding that we did not ask for, bounded: a gzip bomb ends at the limit."""
    if encoding in {"", "identity"} or not body:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise FetchError(Reason.NOT_AN_IMAGE, f"Content-Encoding {encoding}")
    failure = "a broken stream"
    for window in (47, -15):  # a gzip or zlib header, or none at all as some servers send deflate
        inflate = zlib.decompressobj(window)
        try:
            plain = inflate.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(plain) > limit:
            raise FetchError(Reason.BODY_TOO_LARGE, f"more than {limit} bytes after {encoding}")
        if inflate.eof:
            return plain
        failure = "a stream that ends early"
    raise FetchError(Reason.BODY_TRUNCATED, f"Content-Encoding {encoding}: {failure}")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what sockets and http.client raise into a FetchError."""
    try:
        yield
    except TimeoutError:
        raise FetchError(Reason.TIMEOUT, "no answer in time", again=True) from None
    except ssl.SSLError as error:
        raise FetchError(Reason.NO_CONNECTION, f"TLS: {error.reason or type(error).__name__}") from None
    except ConnectionError as error:
        raise FetchError(Reason.NO_CONNECTION, type(error).__name__, again=True) from None
    except http.client.HTTPException as error:
        raise FetchError(Reason.NO_CONNECTION, f"no HTTP answer: {type(error).__name__}") from None
    except OSError as error:
        raise FetchError(Reason.NO_CONNECTION, error.strerror or type(error).__name__, again=True) from None


def _clean(text: str) -> str:
    """Bound a text that a server may have written, and show its unprintable characters as question marks."""
    return _UNSEEN.sub("?", text)[:MAX_NOTE]
