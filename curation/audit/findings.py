"""What an audit finds: faults, each with the place it is in; remarks on what could not be checked; and how much was."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from curation.errors import CurationError

MAX_FAULTS = 20  # of one place and kind that are told; the rest are counted
# What reading something damaged raises; a check that meets one of these has found a fault.
_DAMAGE = (
    CurationError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    pa.ArrowException,
)


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written."""

    where: str
    """File, table or record, relative to the run where it lies in it."""
    what: str


@dataclass
class Findings:
    """The result of an audit, filled as it goes on."""

    faults: list[Fault] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What was not checked, and why."""
    checked: Counter[str] = field(default_factory=Counter)
    """How much was checked, by what it is."""
    tell: Callable[[int], None] = lambda _: None
    """Told of each unit of work that is done, for the progress."""
    _told: Counter[str] = field(default_factory=Counter)

    def fault(self, where: str, what: str) -> None:
        """Note a fault; of very many in one place only their number goes on growing."""
        self._told[where] += 1
        if self._told[where] <= MAX_FAULTS:
            self.faults.append(Fault(where, what))

    def more(self) -> dict[str, int]:
        """Return how many faults a place has beyond those that are told."""
        return {where: count - MAX_FAULTS for where, count in self._told.items() if count > MAX_FAULTS}

    def remark(self, text: str) -> None:
        """Note what could not be checked, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    @contextmanager
    def guarded(self, where: str) -> Iterator[None]:
        """Turn an error from damaged data into a fault of this place, and go on."""
        try:
            yield
        except _DAMAGE as error:
            text = " ".join(str(error).split())
            self.fault(where, f"cannot be read or derived again: {type(error).__name__}: {text[:300]}")
