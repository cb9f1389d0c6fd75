"""The kinds of descriptor, one interface for all: bytes of pictures in, a fixed number of views of int8 codes out.

`builtin` needs no weights and gives the same codes on any machine. `torchscript:PATH` and `clip:CHECKPOINT` are networks
(`curation.dedup.networks`): their codes are the same on one machine with one version of torch, while everything after the codes is
exact for them too. Two kinds never mix: the name and the hash stand in every row and in the record.
"""

# N pictures, B pictures of a batch, V views, D dimensions

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.canonical import sha256_json
from curation.config import RunConfig
from curation.dedup import builtin
from curation.dedup import second_look as second_looks
from curation.errors import ConfigError, Reason, StageError
from curation.images import UndecodableImageError, decode
from curation.stage import locate, read_record

Agreement = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """What produces codes, and their shape."""

    name: str
    """As it stands in the table."""
    sha256: str
    """Hash of what determines the codes: parameters, and weights where there are any."""
    views: int
    """Views a picture."""
    query_views: int
    """The first so many are enough on one side of a comparison: the others are their mirror images, to the bit."""
    dimension: int
    """Dimensions of a view, at most `curation.dedup.exact.MAX_DIMENSION`."""
    detail_bytes: int = 0
    """Bytes a picture for a second look at a near pair; 0 where the kind has none."""
    agreement_bound: float | None = None
    """A pair is near only if its second look agrees by so much; None where the kind has none."""
    threshold: float = 0.95
    """Cosine from which its pictures are near, where dedup.threshold is not set; three digits."""
    floor: float = 0.92
    """Cosine from which pairs are worth keeping, where neighbours.floor is not set; three digits."""

    def as_note(self) -> dict[str, Any]:
        """Return the fields by name, for a record."""
        return asdict(self)

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "Kind":
        """Return the kind that a record notes; records from before the second look have none."""
        return cls(**{key: note[key] for key in cls.__dataclass_fields__ if key in note})

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:12]}...)"


@dataclass(frozen=True)
class Described:
    """A batch of pictures, described; the rows of those that failed are zero."""

    width: np.ndarray
    """int32 (B,), pixels, decoded and upright."""
    height: np.ndarray
    """int32 (B,), pixels, decoded and upright."""
    codes: np.ndarray
    """int8 (B, V, D); an all-zero view is near to nothing."""
    detail: list[bytes] | None = None
    """`Kind.detail_bytes` a picture, B of them; None where the kind has none."""
    failed: dict[int, Reason] = field(default_factory=dict)
    """Positions of those that have no descriptor, and why."""
    device: str = "cpu"
    """What computed the codes: cpu or cuda."""


class Describer(Protocol):
    """Describes batches of pictures."""

    batch: int
    """Pictures a call that suit it; the codes do not depend on how many there are."""

    def __call__(self, bodies: Sequence[bytes]) -> Described:
        """Describe pictures, given as the bytes of their files."""
        ...


class Recipe(Protocol):
    """A kind with all that a process needs to describe pictures: small, and pickled to the executors."""

    @property
    def kind(self) -> Kind:
        """What it makes."""
        ...

    @property
    def weights(self) -> Path | None:
        """The one large file that executors need; None where there is none."""
        ...

    def describer(self, device: str = "cpu", weights: Path | None = None) -> Describer:
        """Return what describes pictures. device: auto, cpu, cuda or cuda:N. weights: where the file lies here, if elsewhere."""
        ...


def recipe_of(name: str) -> Recipe:
    """Return the recipe of a configuration's `embed.kind`.

    Raises ConfigError for an unknown kind; for a network MissingExtraError without torch, InputError for a file that cannot be one.
    """
    if name == "builtin":
        return Builtin()
    if name.partition(":")[0] not in {"torchscript", "clip"}:
        raise ConfigError(f"embed.kind is {name!r}: builtin, torchscript:PATH or clip:CHECKPOINT")
    from curation.dedup.networks import network_of

    return network_of(name)


def kind_of(name: str) -> Kind:
    """Return the kind of a configuration's `embed.kind`. Raises as `recipe_of` does."""
    return recipe_of(name).kind


@dataclass(frozen=True)
class Builtin:
    """The recipe without weights: integer arithmetic from the thumbnail on, the same codes on any machine."""

    weights: None = None

    @property
    def kind(self) -> Kind:
        """Views, dimension, detail and parameters as `curation.dedup.builtin` and `second_look` have them."""
        return Kind(
            f"builtin-{builtin.VERSION}", sha256_json(builtin.parameters()), builtin.VIEWS, builtin.QUERY_VIEWS,
            builtin.DIMENSION, second_looks.DETAIL_BYTES, second_looks.BOUND, builtin.THRESHOLD, builtin.FLOOR,
        )  # fmt: skip

    def describer(self, device: str = "cpu", weights: Path | None = None) -> "BuiltinDescriber":
        """Return the describer; it works on the CPU, whatever the device."""
        del device, weights
        return BuiltinDescriber(self.kind)


class BuiltinDescriber:
    """One picture after the other."""

    batch = 256

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __call__(self, bodies: Sequence[bytes]) -> Described:
        """Describe pictures: as `Describer`."""
        sides = np.zeros((2, len(bodies)), np.int32)
        codes = np.zeros((len(bodies), self._kind.views, self._kind.dimension), np.int8)
        details = [bytes(self._kind.detail_bytes)] * len(bodies)
        failed: dict[int, Reason] = {}
        for position, body in enumerate(bodies):
            try:
                picture = decode(body, draft_side=builtin.WORKING_SIDE)
            except UndecodableImageError as error:
                failed[position] = error.reason
                continue
            found = builtin.described(picture.image)
            sides[:, position] = picture.width, picture.height
            codes[position], details[position] = found.codes, found.detail
        return Described(sides[0], sides[1], codes, details, failed)


def settled(config: RunConfig) -> RunConfig:
    """Return the configuration with the floor and the threshold of the run's kind where it sets none: what a stage is run with.

    Raises StageError where `embed` is not done, whose record says the kind.
    """
    kind = Kind.of_note(read_record(locate(config, "embed")).notes["kind"])
    floor, threshold = config.neighbours.floor, config.dedup.threshold
    return replace(
        config,
        neighbours=replace(config.neighbours, floor=kind.floor if floor is None else floor),
        dedup=replace(config.dedup, threshold=kind.threshold if threshold is None else threshold),
    )


def second_look(kind: Kind) -> Agreement | None:
    """Return what compares the details of pairs, uint8 (E, detail_bytes) of each side, to agreements float64 (E,) in [0, 1]."""
    if not kind.detail_bytes:
        return None
    return second_looks.agreement


def codes_of(table: pa.Table, kind: Kind, where: object) -> np.ndarray:
    """Return the codes of a table `descriptors` as int8 (N, V, D).

    table: codes, kind, kind_sha256. where: what is named in an error.
    Raises StageError, which names both, for rows of another kind, and for codes of another length.
    """
    for row in (
        table.group_by(["kind_sha256"]).aggregate([("kind", "min")]).sort_by("kind_sha256").to_pylist()
    ):
        if row["kind_sha256"] != kind.sha256:
            raise StageError(
                f"{where} holds descriptors of kind {row['kind_min']} ({row['kind_sha256'][:12]}...), {kind} is "
                "wanted: two kinds never mix; describe both by one kind"
            )
    lengths = pc.unique(pc.binary_length(table.column("codes"))).to_pylist()
    if lengths not in ([], [kind.views * kind.dimension]):
        raise StageError(
            f"{where} holds codes of {lengths} bytes, kind {kind} has {kind.views} views of {kind.dimension}"
        )
    whole = b"".join(table.column("codes").to_pylist())
    return np.frombuffer(whole, np.int8).reshape(table.num_rows, kind.views, kind.dimension)


def details_of(table: pa.Table, kind: Kind, where: object) -> np.ndarray:
    """Return the details of a table `descriptors` as uint8 (N, detail_bytes). Raises StageError where a row's are of another length."""
    if not kind.detail_bytes:
        return np.zeros((table.num_rows, 0), np.uint8)
    lengths = pc.unique(pc.binary_length(table.column("detail"))).to_pylist()
    if lengths not in ([], [kind.detail_bytes]):
        raise StageError(f"{where} holds details of {lengths} bytes, kind {kind} has {kind.detail_bytes}")
    whole = b"".join(table.column("detail").to_pylist())
    return np.frombuffer(whole, np.uint8).reshape(table.num_rows, kind.detail_bytes)
