"""[card] of the configuration: what the data card and the Croissant file say of a published set that its records cannot know."""

import re
from dataclasses import dataclass

from curation.canonical import later
from curation.errors import require


@dataclass(frozen=True, kw_only=True)
class CardSection:
    """Who publishes the set, under which terms, and whom to ask."""

    title: str = later("")
    """Name of the set; the run's where it is not set."""
    version: str = later("1.0.0")
    """Version of the set, as MAJOR.MINOR.PATCH."""
    published: str = later("")
    """Day of the publication, as YYYY-MM-DD."""
    licence: str = later("")
    """Licence of what the publisher adds (the selection and its tables), by SPDX's name or an address. It covers no picture and no text."""
    creators: tuple[str, ...] = later(())
    """Who made the set."""
    contact: str = later("")
    """A mail or web address where people ask for removal; published as it stands here."""
    url: str = later("")
    """Address of the set's page."""
    files: str = later("")
    """Address under which the manifest's folder is published, with its last slash; the Croissant file's own folder where it is not set."""
    cite: str = later("")
    """BibTeX to cite the set by; made from title, creators, day and address where it is not set."""
    sources: dict[str, str] = later(factory=dict)
    """Terms of sources by name, such as the crawl's or those of the given entry lists: written out as they stand here."""

    def __post_init__(self) -> None:
        require(
            re.fullmatch(r"\d+\.\d+\.\d+", self.version) is not None,
            "card.version",
            self.version,
            "such as 1.0.0",
        )
        require(
            not self.published or re.fullmatch(r"\d{4}-\d\d-\d\d", self.published) is not None,
            "card.published",
            self.published,
            "a day such as 2026-11-21",
        )
        held = not self.files or self.files.endswith("/")
        require(held, "card.files", self.files, "an address that ends with a slash")
