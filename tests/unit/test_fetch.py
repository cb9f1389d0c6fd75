import contextlib
import ipaddress
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from badserver import BadServer, bad_server, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import fetch
from curation.config import DownloadSection
from curation.download import Outcome, outcome_of
from curation.errors import ConfigError, Reason
from curation.fetch import Fetcher, parse_target
from curation.hosts import FetchError, Resolver, is_public

SECTION = DownloadSection(
    timeout=0.4,
    total_timeout=1.0,
    retries=1,
    max_bytes=1 << 20,
    allow_hosts=("127.0.0.1",),
    max_pixels=50_000_000,
)


@pytest.fixture(scope="module")
def server() -> Iterator[BadServer]:
    with bad_server() as running:
        yield running


def get(url: str, section: DownloadSection = SECTION) -> Outcome:
    fetcher = Fetcher(section, Resolver(section.allow_hosts, section.resolve))
    with contextlib.closing(fetcher):
        return outcome_of(url, fetcher, section)


def reason_of(outcome: Outcome) -> Reason | None:
    return outcome.fetched.reason or outcome.header.reason


GOOD = (
    "/ok.jpg", "/otherbot.jpg", "/thumbnail.jpg", "/gzip.jpg", "/to-korean.jpg", "/close.jpg", "/no-length.jpg",
    "/chunked.jpg", "/busy-once.jpg", "/hang-up-once.jpg", "/cut-once.jpg", "/drop-idle.jpg", "/bad-length.jpg", "/open-hop.jpg", "/cut-hop.jpg",
    "/pic/1.jpg", "/pic/2.png", "/pic/3.gif", "/pic/4.webp", "/pic/5.bmp", "/pic/6.tif",
)  # fmt: skip


@pytest.mark.parametrize("path", GOOD)
def test_a_picture_arrives_untouched(server: BadServer, path: str) -> None:
    found = get(server.url(path))
    assert (reason_of(found), found.fetched.detail, found.header.detail) == (None, None, None)
    assert found.fetched.http_status == 200
    assert (found.header.width, found.header.height) == (16, 12)
    if path in {"/ok.jpg", "/gzip.jpg", "/chunked.jpg", "/no-length.jpg"}:
        assert found.fetched.body == picture()


BAD = {
    "/noai.jpg": (Reason.OPTED_OUT, "X-Robots-Tag: noai", 200),
    "/noai-date.jpg": (
        Reason.OPTED_OUT,
        "X-Robots-Tag: noai, unavailable_after: 25 Jun 2030 15:00:00 PST",
        200,
    ),
    "/noai-hop.jpg": (Reason.OPTED_OUT, "X-Robots-Tag: noimageai", 302),
    "/noai-404.jpg": (Reason.OPTED_OUT, "X-Robots-Tag: noai", 404),
    "/none-such.jpg": (Reason.HTTP_STATUS, "404", 404),
    "/gone.jpg": (Reason.HTTP_STATUS, "410", 410),
    "/busy.jpg": (Reason.HTTP_STATUS, "503", 503),
    "/nothing.jpg": (Reason.HTTP_STATUS, "204", 204),
    "/empty.jpg": (Reason.BODY_EMPTY, "0 bytes", 200),
    "/page.jpg": (Reason.NOT_AN_IMAGE, "html", 200),
    "/comment.jpg": (Reason.NOT_AN_IMAGE, "text", 200),
    "/drawing.svg": (Reason.NOT_AN_IMAGE, "svg", 200),
    "/broken.png": (Reason.NOT_AN_IMAGE, None, 200),
    "/brotli.jpg": (Reason.NOT_AN_IMAGE, "Content-Encoding br", 200),
    "/cut.jpg": (Reason.BODY_TRUNCATED, None, 200),
    "/chunk-cut.jpg": (Reason.BODY_TRUNCATED, None, 200),
    "/gzip-cut.jpg": (Reason.BODY_TRUNCATED, None, 200),
    "/no-eoi.jpg": (Reason.BODY_TRUNCATED, "image/jpeg without its end", 200),
    "/no-eoi-thumbnail.jpg": (Reason.BODY_TRUNCATED, "image/jpeg without its end", 200),
    "/no-iend.png": (Reason.BODY_TRUNCATED, "image/png without its end", 200),
    "/short.webp": (Reason.BODY_TRUNCATED, "image/webp without its end", 200),
    "/head-only.png": (Reason.BODY_TRUNCATED, "image/png that ends in its header", 200),
    "/bomb.png": (Reason.TOO_MANY_PIXELS, "9000 x 9000 is above 50000000 pixels", 200),
    "/tiny.png": (Reason.TOO_FEW_PIXELS, "4 x 90 has a side below 8", 200),
    "/large.jpg": (Reason.BODY_TOO_LARGE, f"Content-Length {1 << 40} is above {1 << 20}", 200),
    "/endless.jpg": (Reason.BODY_TOO_LARGE, f"more than {1 << 20} bytes", 200),
    "/gzip-bomb.jpg": (Reason.BODY_TOO_LARGE, f"more than {1 << 20} bytes after gzip", 200),
    "/loop.jpg": (Reason.TOO_MANY_REDIRECTS, None, 302),
    "/ping.jpg": (Reason.TOO_MANY_REDIRECTS, None, 302),
    "/nowhere.jpg": (Reason.BAD_REDIRECT, "302 without Location", 302),
    "/to-file.jpg": (Reason.BAD_REDIRECT, "scheme 'file'", 302),
    "/to-ftp.jpg": (Reason.BAD_REDIRECT, "scheme 'ftp'", 302),
    "/to-bad-port.jpg": (Reason.BAD_REDIRECT, None, 302),
    "/to-metadata.jpg": (Reason.PRIVATE_ADDRESS, "169.254.169.254 is at 169.254.169.254", 302),
    "/garbage.jpg": (Reason.NO_CONNECTION, "no HTTP answer: BadStatusLine", None),
    "/hang-up.jpg": (Reason.NO_CONNECTION, "RemoteDisconnected", None),
    "/many-headers.jpg": (Reason.NO_CONNECTION, None, None),
    "/long-header.jpg": (Reason.NO_CONNECTION, None, None),
    "/silent.jpg": (Reason.TIMEOUT, "no answer in time", None),
}


@pytest.mark.parametrize("path", BAD)
def test_a_misbehaving_server_ends_in_its_reason(server: BadServer, path: str) -> None:
    reason, detail, status = BAD[path]
    found = get(server.url(path))
    assert reason_of(found) is reason
    assert found.fetched.http_status == status
    assert found.image_id is None
    said = found.fetched.detail or found.header.detail
    assert said
    assert detail is None or said == detail


@pytest.mark.parametrize("path", ["/drip.jpg", "/drip-head.jpg", "/silent.jpg"])
def test_a_slow_drip_ends_at_the_total_timeout(server: BadServer, path: str) -> None:
    started = time.monotonic()
    found = get(server.url(path), replace(SECTION, total_timeout=0.6, retries=5))
    assert reason_of(found) is Reason.TIMEOUT
    assert time.monotonic() - started < 1.2


@pytest.mark.parametrize(
    ("path", "tries"), [("/busy.jpg", 3), ("/hang-up.jpg", 3), ("/cut.jpg", 3), ("/gone.jpg", 1), ("/page.jpg", 1), ("/noai.jpg", 1)]
)  # fmt: skip
def test_only_what_may_pass_is_tried_again(path: str, tries: int) -> None:
    with bad_server() as server:
        get(server.url(path), replace(SECTION, retries=2, total_timeout=5.0))
        assert server.hits[path] == tries


def test_a_chain_of_redirects_ends_at_the_limit(server: BadServer) -> None:
    url = server.url("/to/" + server.url("/to/" + server.url("/ok.jpg")))
    assert reason_of(get(url)) is None
    assert reason_of(get(url, replace(SECTION, max_redirects=2))) is None
    short = get(url, replace(SECTION, max_redirects=1))
    assert (reason_of(short), short.fetched.detail) == (Reason.TOO_MANY_REDIRECTS, "more than 1")


def test_an_opt_out_that_is_not_honoured_is_still_recorded(server: BadServer) -> None:
    found = get(server.url("/noai.jpg"), replace(SECTION, respect_opt_out=False))
    assert (reason_of(found), found.fetched.opt_out) == (None, "X-Robots-Tag: noai")
    assert get(server.url("/ok.jpg")).fetched.opt_out is None


def test_connections_are_kept_and_a_dropped_one_is_no_try() -> None:
    with bad_server() as server:
        section = replace(SECTION, retries=0)
        fetcher = Fetcher(section, Resolver(section.allow_hosts))
        opened = []
        with contextlib.closing(fetcher), pytest.MonkeyPatch.context() as patch:
            patch.setattr(fetch, "connect", lambda *args: opened.append(args) or _real_connect(*args))
            for path in (
                "/ok.jpg",
                "/gone.jpg",
                "/pic/5.png",
                "/chunked.jpg",
                "/loop.jpg",
                "/drop-idle.jpg",
                "/ok.jpg",
            ):
                fetcher.fetch(server.url(path))
            assert fetcher.fetch(server.url("/ok.jpg")).reason is None
        assert len(opened) == 2


_real_connect = fetch.connect


def test_the_request_names_us_and_asks_for_untouched_bytes(server: BadServer) -> None:
    server.requests.clear()
    get(server.url("/pic/9.png?q=\uac00 \u00e9#part"))
    lines = server.requests[-1]
    assert lines[0] == "GET /pic/9.png?q=%EA%B0%80%20%C3%A9 HTTP/1.1"
    assert {
        f"Host: 127.0.0.1:{server.port}",
        "Accept-Encoding: identity",
        f"User-Agent: {SECTION.user_agent}",
    } <= set(lines)


@pytest.fixture
def secure_server(tmp_path: Path) -> Iterator[tuple[BadServer, Path]]:
    """A server that speaks TLS with a certificate it signed itself, and that certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = f"req -x509 -newkey rsa:2048 -nodes -subj /CN=pictures.test -addext subjectAltName=DNS:pictures.test -keyout {key} -out {certificate}"
    subprocess.run([openssl, *command.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with bad_server(context) as running:
        yield running, certificate


def test_tls_is_checked_against_the_name_of_the_host(
    secure_server: tuple[BadServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = secure_server
    resolve = {f"{name}:443": f"127.0.0.1:{server.port}" for name in ("pictures.test", "other.test")}
    section = replace(SECTION, resolve=resolve, timeout=2.0, total_timeout=4.0)
    unknown = get("https://pictures.test/ok.jpg", section)
    assert (reason_of(unknown), unknown.fetched.detail) == (
        Reason.NO_CONNECTION,
        "TLS: CERTIFICATE_VERIFY_FAILED",
    )
    monkeypatch.setattr(fetch, "_tls", lambda: ssl.create_default_context(cafile=str(certificate)))
    assert get("https://pictures.test/ok.jpg", section).fetched.body == picture()
    assert reason_of(get("https://pictures.test/cut.jpg", section)) is Reason.BODY_TRUNCATED
    assert reason_of(get("https://other.test/ok.jpg", section)) is Reason.NO_CONNECTION


def test_a_handshake_that_is_never_answered_ends_in_a_timeout(server: BadServer) -> None:
    assert reason_of(get(f"https://127.0.0.1:{server.port}/ok.jpg")) is Reason.TIMEOUT


PRIVATE_HOSTS = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "127.255.255.254",
    "localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[fe80::1]", "[fc00::1]",
    "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::1]", "[ff02::1]", "[2001::1]",
    "[2001:db8::1]", "[::127.0.0.1]", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "user@127.0.0.1", "a:b@[::1]",
)  # fmt: skip


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        pytest.fail(f"a connection was opened to {args}")

    monkeypatch.setattr(fetch, "connect", refuse)


@pytest.mark.usefixtures("no_connection")
@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_no_spelling_of_a_private_address_is_connected_to(host: str) -> None:
    section = replace(SECTION, allow_hosts=())
    assert reason_of(get(f"http://{host}/x.jpg", section)) in {Reason.PRIVATE_ADDRESS, Reason.NO_SUCH_HOST}
    assert reason_of(get(f"https://{host}:8443/x.jpg", section)) in {
        Reason.PRIVATE_ADDRESS,
        Reason.NO_SUCH_HOST,
    }


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_redirect_to_a_private_address_is_refused(server: BadServer, host: str) -> None:
    found = get(server.url("/to/" + server.url("/ok.jpg", host=host)))
    assert reason_of(found) is Reason.PRIVATE_ADDRESS
    assert found.fetched.http_status == 302


def answers(*found: str) -> Callable[..., list[object]]:
    asked = iter(found)

    def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        address = next(asked)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return getaddrinfo


@pytest.mark.usefixtures("no_connection")
def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers("127.0.0.1"))
    found = get("http://innocent.example/x.jpg", replace(SECTION, allow_hosts=()))
    assert (reason_of(found), found.fetched.detail) == (
        Reason.PRIVATE_ADDRESS,
        "innocent.example is at 127.0.0.1",
    )


def test_the_address_that_was_checked_is_the_one_connected_to(
    server: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers 93.184.216.34 when it is checked and 127.0.0.1 afterwards never leads to 127.0.0.1."""
    monkeypatch.setattr(socket, "getaddrinfo", answers("93.184.216.34", "127.0.0.1", "127.0.0.1"))
    connected = []

    def connect(address: str, port: int, seconds: float) -> socket.socket:
        connected.append((address, port))
        return _real_connect("127.0.0.1", server.port, seconds)

    monkeypatch.setattr(fetch, "connect", connect)
    resolver = Resolver()
    for _ in range(2):
        assert Fetcher(SECTION, resolver).fetch("http://rebind.example:81/ok.jpg").reason is None
    assert set(connected) == {("93.184.216.34", 81)}


def test_only_the_public_addresses_of_a_name_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = [
        (2, 1, 6, "", ("10.0.0.1", 80)),
        (2, 1, 6, "", ("8.8.8.8", 80)),
        (10, 1, 6, "", ("::1", 80, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: mixed)
    assert Resolver().endpoints("mixed.example", 80, 1.0) == (("8.8.8.8", 80),)


@pytest.mark.parametrize(
    ("allow", "host", "allowed"),
    [("127.0.0.1", "127.0.0.1", True), ("127.0.0.1:80", "127.0.0.1", True), ("127.0.0.1:81", "127.0.0.1", False),
     ("LocalHost", "localhost", True), ("[::1]:80", "::1", True), ("::1", "::1", True), ("127.0.0.1", "127.0.0.2", False)],
)  # fmt: skip
def test_allowed_hosts_are_exactly_the_named_ones(allow: str, host: str, allowed: bool) -> None:
    resolver = Resolver((allow,))
    if allowed:
        assert resolver.endpoints(host, 80, 1.0)
        return
    with pytest.raises(FetchError):
        resolver.endpoints(host, 80, 1.0)


def test_a_given_place_is_taken_and_allowed(server: BadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers())
    section = replace(SECTION, allow_hosts=(), resolve={"pictures.test:80": f"127.0.0.1:{server.port}"})
    assert reason_of(get("http://pictures.test/ok.jpg", section)) is None
    assert reason_of(get("http://Pictures.TEST:80/ok.jpg", section)) is None
    assert server.requests[-1][1] == "Host: pictures.test"


def test_a_given_place_that_is_no_address_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="must be address:port"):
        Resolver((), {"a.test:80": "b.test:80"})


@pytest.mark.parametrize(
    ("url", "reason"),
    [("ftp://example.org/x", Reason.NOT_HTTP), ("file:///etc/passwd", Reason.NOT_HTTP), ("", Reason.NOT_HTTP), ("http:///x", Reason.BAD_URL),
     ("http://[::1/x", Reason.BAD_URL), ("http://a:99999/", Reason.BAD_URL), ("http://a b/", Reason.BAD_URL), ("http://\ud800.de/", Reason.BAD_URL),
     ("http://nowhere.invalid/x.jpg", Reason.NO_SUCH_HOST), (f"http://{'a' * 80}.de/", Reason.NO_SUCH_HOST)],
)  # fmt: skip
def test_what_cannot_be_fetched_has_its_reason(url: str, reason: Reason) -> None:
    assert reason_of(get(url)) is reason


def test_a_port_where_nobody_listens_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert reason_of(get(f"http://127.0.0.1:{port}/x.jpg")) is Reason.NO_CONNECTION


def test_a_slow_name_server_ends_in_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1.5) or [])
    started = time.monotonic()
    assert reason_of(get("http://slow.example/x.jpg", replace(SECTION, retries=0))) is Reason.TIMEOUT
    assert time.monotonic() - started < 1


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60), st.sampled_from(["http://", "https://", "http://a/", "//", ""]))
def test_any_text_is_an_address_or_a_fetch_error(text: str, prefix: str) -> None:
    target = None
    with contextlib.suppress(FetchError):
        target = parse_target(prefix + text)
    if target is None:
        return
    assert target.path.isascii()
    assert not set(target.path + target.authority) & set(" \r\n\t\0")


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_inside_ipv6_is_judged_like_itself(number: int) -> None:
    v4 = ipaddress.IPv4Address(number)
    inside = [(0xFFFF << 32) + number, (0x64FF9B << 96) + number, (0x2002 << 112) + (number << 80) + 1]
    assert {is_public(str(v4))} == {is_public(str(ipaddress.IPv6Address(value))) for value in inside}
    if is_public(str(v4)):
        assert not any((v4.is_private, v4.is_loopback, v4.is_link_local, v4.is_multicast, v4.is_reserved))


@given(st.integers(0, 2**128 - 1))
def test_a_public_ipv6_address_is_none_that_python_calls_private(number: int) -> None:
    v6 = ipaddress.IPv6Address(number)
    if is_public(str(v6)):
        assert not any((v6.is_private, v6.is_loopback, v6.is_link_local, v6.is_multicast))
