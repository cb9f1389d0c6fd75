"""Which hosts may be fetched from, and at which network addresses they are: step download.

A page of the open web may point at 169.254.169.254 or at a printer. A host is looked up once, its addresses are checked, and
the connection goes to the very address that was checked: a second answer of the DNS is never asked for.
"""

import ipaddress
import queue
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence

from curation.errors import ConfigError, Reason

_SPECIAL_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
"""IPv4 that is not of the public internet: IANA's special-purpose registry (RFC 6890), multicast and class E."""
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out; the rest is refused
_SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20")
)  # protocol assignments (Teredo among them) and documentation
_EMBEDDED_V4 = (  # network, bits to the right of the IPv4 address it carries
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # v4-mapped
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)


class FetchError(Exception):
    """An address that gave no picture: the reason, what exactly was seen, and whether another try may help."""

    def __init__(self, reason: Reason, detail: str, *, again: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.again = again


def is_public(address: str) -> bool:
    """Say whether a numeric IPv4 or IPv6 address is of the public internet.

    An IPv6 address that carries an IPv4 one (v4-mapped, NAT64, 6to4) is judged by that one. Raises ValueError for anything else.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _SPECIAL_V4)
    for network, shift in _EMBEDDED_V4:
        if ip in network:
            return is_public(str(ipaddress.IPv4Address((int(ip) >> shift) & 0xFFFFFFFF)))
    return ip in _GLOBAL_V6 and not any(ip in network for network in _SPECIAL_V6)


class Resolver:
    """From host and port to the addresses that may be connected to; one for all threads of a task.

    allow_hosts: `host` or `host:port` that may lie anywhere. resolve: `host:port` to `address:port`, which is taken as it is.
    What was found is kept as long as the resolver lives, which is a shard: so a name has one answer there.
    Raises ConfigError where `resolve` gives something else.
    """

    def __init__(self, allow_hosts: Iterable[str] = (), resolve: Mapping[str, str] | None = None) -> None:
        self._allowed = {name.lower() for name in allow_hosts}
        self._given = {name.lower(): _endpoint(name, value) for name, value in (resolve or {}).items()}
        self._found: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {}

    def endpoints(self, host: str, port: int, seconds: float) -> tuple[tuple[str, int], ...]:
        """Return the (address, port) pairs that may be connected to, in the order of the DNS; never none.

        host: lower case, an IPv6 one without brackets. seconds: how long the DNS may take.
        Raises FetchError: no such host, a timeout, or no address that is allowed.
        """
        shown = f"[{host}]" if ":" in host else host
        if f"{shown}:{port}" in self._given:
            return (self._given[f"{shown}:{port}"],)
        found = self._found.get((host, port))
        if found is None:
            addresses = _look_up(host, port, seconds)
            free = not self._allowed.isdisjoint((host, shown, f"{shown}:{port}"))
            found = tuple((address, port) for address in addresses if free or is_public(address))
            if not found:
                raise FetchError(Reason.PRIVATE_ADDRESS, f"{shown} is at {', '.join(addresses)}")
            self._found[host, port] = found
        return found


def _endpoint(name: str, value: str) -> tuple[str, int]:
    address, _, port = value.rpartition(":")
    try:
        return str(ipaddress.ip_address(address.strip("[]"))), int(port)
    except ValueError:
        raise ConfigError(
            f"download.resolve gives {value!r} for {name!r}: it must be address:port, such as 127.0.0.1:8765"
        ) from None


def _look_up(host: str, port: int, seconds: float) -> Sequence[str]:
    """Ask the system's resolver, in a thread of its own since it takes no timeout."""
    answer: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, UnicodeError, OverflowError) as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise FetchError(Reason.TIMEOUT, f"looking up {host}", again=True) from None
    if isinstance(found, Exception) or not found:
        passing = isinstance(found, socket.gaierror) and found.errno == socket.EAI_AGAIN
        raise FetchError(Reason.NO_SUCH_HOST, host, again=passing)
    return found
