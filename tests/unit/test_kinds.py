"""One interface for all kinds: the same codes in any batches, and two kinds that never mix."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from curation.dedup.exact import MAX_DIMENSION
from curation.dedup.kinds import Kind, codes_of, details_of, kind_of, recipe_of
from curation.errors import ConfigError, Reason, StageError


def png(seed: int, size: tuple[int, int] = (90, 60)) -> bytes:
    image = Image.new("RGB", size, (250, 250, 245))
    draw = ImageDraw.Draw(image)
    for i in range(6):
        x, y = (37 * (i + seed) * (seed + 3) + 20 * i) % 70, (53 * (i + 1) * (seed + 1)) % 40
        draw.rectangle(
            (x, y, x + 14 + i, y + 20 - i), fill=((90 * i) % 256, (70 * seed) % 256, 200 - 40 * (i % 5))
        )
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def rows(kind: Kind, num: int = 2, **columns: object) -> pa.Table:
    """A table of descriptors, with columns of another content where asked."""
    given = {
        "codes": [bytes([n + 1]) * (kind.views * kind.dimension) for n in range(num)],
        "detail": [bytes([n]) * kind.detail_bytes if kind.detail_bytes else None for n in range(num)],
        "kind": [kind.name] * num,
        "kind_sha256": [kind.sha256] * num,
    }
    types = {"codes": pa.binary(), "detail": pa.binary(), "kind": pa.string(), "kind_sha256": pa.string()}
    return pa.table({name: pa.array(values, types[name]) for name, values in (given | columns).items()})


def test_builtin_gives_the_same_for_any_batches() -> None:
    bodies = [png(0), b"no picture", png(1), png(2, (30, 200)), png(3)[:200], png(4)]
    describe = recipe_of("builtin").describer()
    whole = describe(bodies)
    assert whole.failed == dict.fromkeys((1, 4), Reason.UNDECODABLE_IMAGE)
    assert whole.codes.dtype == np.int8
    assert (whole.width[3], whole.height[3]) == (30, 200)
    assert not whole.codes[[1, 4]].any()
    assert not whole.width[[1, 4]].any()
    for size in (1, 2, 5):
        parts = [describe(bodies[start : start + size]) for start in range(0, len(bodies), size)]
        assert np.array_equal(np.concatenate([part.codes for part in parts]), whole.codes)
        if whole.detail is not None:
            assert [detail for part in parts for detail in part.detail or []] == whole.detail


def test_an_empty_batch_is_fine() -> None:
    kind = kind_of("builtin")
    found = recipe_of("builtin").describer()([])
    assert found.codes.shape == (0, kind.views, kind.dimension)


def test_what_builtin_gives_has_the_shape_of_its_kind() -> None:
    kind, found = kind_of("builtin"), recipe_of("builtin").describer()([png(0), b""])
    assert found.codes.shape == (2, kind.views, kind.dimension)
    assert kind.query_views <= kind.views
    assert kind.dimension <= MAX_DIMENSION
    assert [len(detail) for detail in found.detail or []] == [kind.detail_bytes] * (
        2 if kind.detail_bytes else 0
    )
    assert (kind.agreement_bound is None) == (kind.detail_bytes == 0)


def test_a_kind_goes_through_a_record_and_old_records_have_no_second_look() -> None:
    kind = Kind("builtin-2", "ab" * 32, 10, 5, 81, 64, 0.5)
    assert Kind.of_note(kind.as_note()) == kind
    old = {"name": "builtin-1", "sha256": "cd" * 32, "views": 10, "query_views": 5, "dimension": 81}
    assert Kind.of_note(old) == Kind("builtin-1", "cd" * 32, 10, 5, 81)


@pytest.mark.parametrize("name", ["sscd", "builtin:x", "onnx:a.onnx", ""])
def test_an_unknown_kind_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"builtin, torchscript:PATH or clip:CHECKPOINT"):
        kind_of(name)


KIND = Kind("mine", "ab" * 32, 2, 1, 3, 4, 0.5)


def test_codes_and_details_are_read_by_their_kind() -> None:
    table = rows(KIND, 3)
    assert codes_of(table, KIND, "x")[:, 1, 2].tolist() == [1, 2, 3]
    assert details_of(table, KIND, "x").tolist() == [[n] * 4 for n in range(3)]
    assert codes_of(rows(KIND, 0), KIND, "x").shape == (0, 2, 3)
    assert details_of(rows(KIND, 0), KIND, "x").shape == (0, 4)
    bare = replace(KIND, detail_bytes=0, agreement_bound=None)
    assert details_of(rows(bare, 2), bare, "x").shape == (2, 0)


def test_two_kinds_never_mix_and_both_are_named() -> None:
    other = replace(KIND, name="theirs", sha256="cd" * 32)
    mixed = pa.concat_tables([rows(KIND), rows(other)])
    with pytest.raises(StageError, match=r"set x holds.*theirs \(cdcdcdcdcdcd.*mine \(abababababab"):
        codes_of(mixed, KIND, "set x")


@pytest.mark.parametrize(
    ("column", "values", "named"),
    [
        ("codes", [b"abc", b"abcdef"], "codes"),
        ("detail", [b"abcd", None], "details"),
        ("detail", [b"", b"abcd"], "details"),
    ],
)
def test_codes_and_details_of_another_length_are_refused(
    column: str, values: list[bytes | None], named: str
) -> None:
    table = rows(KIND, 2, **{column: values})
    with pytest.raises(StageError, match=named):
        (codes_of if column == "codes" else details_of)(table, KIND, "x")
