"""One finished run for all tests that audit or tell of it; who changes it takes a copy."""

from pathlib import Path

import pytest
from auditrun import make_run

from curation.pipeline import write_summary


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "run"
    write_summary(make_run(path))
    return path
