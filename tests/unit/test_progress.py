import io
import itertools
import sys
import time

import pytest

from curation.progress import watched


def test_a_log_gets_plain_lines_with_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    counts = itertools.count(10, 10)
    with watched(lambda: next(counts), 1_000, "addresses", log_every=0.02):
        time.sleep(0.15)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert lines[0].startswith("20 of 1000 addresses, ")
    assert all(line.endswith(" s left") for line in lines)


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with watched(lambda: 7, 20, "addresses", every=0.02):
        time.sleep(0.3)
    assert "7/20" in terminal.getvalue()


def test_an_error_inside_ends_the_watching() -> None:
    with pytest.raises(RuntimeError), watched(lambda: 0, 1, "addresses"):
        raise RuntimeError
