"""The pages of the demo's web: which picture is linked where, in what form, with which texts."""

import html
import posixpath
from typing import NamedTuple
from urllib.parse import urlsplit

from curation.demo.captions import TITLE_KINDS, Caption, caption
from curation.demo.chance import Chance
from curation.demo.files import HOMES, HOSTS, MIRRORS, File, Site, host_of

AGAIN_SHARE = 0.45  # of the pictures are linked a second time, from a page in the other language
TITLE_SHARE, DATA_SHARE = 0.22, 0.04
ICON_SHARE = 0.25
FEWEST_LINKS, MOST_LINKS = 4, 14
ICON_TEXTS = {
    "en": {"logo": "logo", "prev": "prev", "next": "next", "1px": ""},
    "ko": {"logo": "로고", "prev": "이전", "next": "다음", "1px": "1px"},
}
PAGE_TITLES = {"en": "Pictures, page {}", "ko": "그림 모음 {}"}
DATA_ATTRIBUTE = "data-image-title"


class Link(NamedTuple):
    """An image link: the address it resolves to, as it is written, and its texts by attribute."""

    url: str
    written: str
    texts: tuple[tuple[str, Caption], ...]


class Page(NamedTuple):
    """A page: address, language, title, image links."""

    url: str
    lang: str
    title: str
    links: tuple[Link, ...]


def written(page_url: str, url: str, chance: Chance, key: str) -> str:
    """Return an address as a page writes it: absolute, without the scheme, from the root, or relative to the page."""
    host = host_of(url)
    path = url.removeprefix(f"http://{host}")
    if chance.happens(f"{key}/shouted", 0.01):
        return f"HTTP://{host.upper()}{path}#top"
    if host != host_of(page_url):
        return chance.weighted(f"{key}/form", ((url, 0.9), (f"//{host}{path}", 0.1)))
    relative = posixpath.relpath(path, posixpath.dirname(urlsplit(page_url).path))
    return chance.weighted(
        f"{key}/form", ((path, 0.4), (relative, 0.35), (url, 0.2), (f"//{host}{path}", 0.05))
    )


def _link(file: File, page_url: str, lang: str, chance: Chance) -> Link:
    key = f"{page_url} {file.url}"
    texts = []
    if file.scene:
        texts.append(("alt", caption(file.scene, lang, chance, f"{key}/alt")))
        if chance.happens(f"{key}/has title", TITLE_SHARE):
            texts.append(("title", caption(file.scene, lang, chance, f"{key}/title", kinds=TITLE_KINDS)))
        if chance.happens(f"{key}/has data", DATA_SHARE):
            texts.append(
                (DATA_ATTRIBUTE, caption(file.scene, lang, chance, f"{key}/data", kinds=TITLE_KINDS))
            )
    else:
        name = file.url.rpartition("/")[2].partition(".")[0]
        text = ICON_TEXTS[lang][name]
        texts.append(("alt", Caption(text, "none", "junk" if text else "empty", right=False)))
    return Link(file.url, written(page_url, file.url, chance, key), tuple(texts))


def _mentions(site: Site, chance: Chance) -> dict[tuple[str, str], list[File]]:
    """Return the pictures that the pages of each (host, language) show."""
    shown: dict[tuple[str, str], list[File]] = {(host, lang): [] for host in HOSTS for lang in ("en", "ko")}
    for file in site.originals:
        shown[host_of(file.url), file.lang].append(file)
        if chance.happens(f"{file.url}/again", AGAIN_SHARE):
            other = "en" if file.lang == "ko" else "ko"
            shown[chance.pick(f"{file.url}/again on", HOMES[other]), other].append(file)
    for file in (*site.copies, *site.faults):
        host = chance.pick(f"{file.url}/page", MIRRORS if file.transform else HOMES[file.lang])
        shown[host, file.lang].append(file)
    return shown


def lay_out(site: Site, chance: Chance) -> list[Page]:
    """Return the pages, in an order of chance: each shows some pictures of one host's choice and, at times, an icon."""
    icons = {host: [icon for icon in site.icons if host_of(icon.url) == host] for host in HOSTS}
    pages: list[Page] = []
    for (host, lang), files in _mentions(site, chance).items():
        left = chance.shuffled(f"order of {host} {lang}", files)
        number = 0
        while left:
            url = f"http://{host}/pages/{lang}/{number}.html"
            size = int(chance.between(f"{url}/size", FEWEST_LINKS, MOST_LINKS + 1))
            here, left = left[:size], left[size:]
            if chance.happens(f"{url}/icon", ICON_SHARE):
                here = [chance.pick(f"{url}/which icon", icons[host]), *here]
            links = tuple(_link(file, url, lang, chance) for file in here)
            pages.append(Page(url, lang, PAGE_TITLES[lang].format(number), links))
            number += 1
    return chance.shuffled("order of pages", pages)


def as_html(page: Page) -> bytes:
    """Return the page itself, for a person who looks at the web with a browser."""
    lines = [
        f'<!doctype html><html lang="{page.lang}"><meta charset="utf-8"><title>{html.escape(page.title)}</title>'
    ]
    for link in page.links:
        texts = "".join(f' {name}="{html.escape(text.text)}"' for name, text in link.texts)
        lines.append(f'<p><img src="{html.escape(link.written)}"{texts}>')
    return "\n".join(lines).encode()
