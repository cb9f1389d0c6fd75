"""faiss comes in two distributions of one module: which are there, and what is said where neither or both are."""

from importlib import metadata

import numpy as np
import pytest

from curation.dedup import faiss_package
from curation.dedup.neighbours import near_pairs
from curation.errors import ConfigError, MissingExtraError


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def version(name: str) -> str:
        if name not in names:
            raise metadata.PackageNotFoundError(name)
        return "1.15.1"

    monkeypatch.setattr(faiss_package.distributions, "version", version)


def test_both_faiss_packages_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "faiss-cpu", "faiss-gpu")
    with pytest.raises(ConfigError, match="the same folder"):
        faiss_package.faiss_version()


def test_no_faiss_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(MissingExtraError, match=r"bicurate\[cpu\]"):
        near_pairs(np.ones((2, 1, 2), np.int8), 0.95)


def test_either_faiss_package_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "faiss-gpu")
    assert faiss_package.faiss_version() == "faiss-gpu 1.15.1"
