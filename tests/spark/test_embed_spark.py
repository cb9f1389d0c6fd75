"""Stage embed by any kind: the same rows for any partitioning, every picture with a row or a reason, the kind in the record."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import fetch
from PIL import Image
from pyspark.sql import SparkSession

from curation.config import RunConfig, RunSection, SparkSection
from curation.config_dedup import EmbedSection
from curation.dedup.kinds import Kind, recipe_of
from curation.errors import ConfigError, InputError, StageError
from curation.ids import image_id
from curation.spark import describing, embed
from curation.spark.describing import Describing
from curation.spark.shipping import ship_array, shipped_array
from curation.stage import Record


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    levels = ((np.arange(48).reshape(4, 4, 3) * (37 + 2 * seed) + 11 * seed) % 256).astype(np.uint8)
    Image.fromarray(levels).resize((40 + 10 * seed, 30)).save(stream, "PNG")
    return stream.getvalue()


def white() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), "white").save(stream, "PNG")
    return stream.getvalue()


BODIES = [*map(png, range(6)), white(), b"<html>", png(1)[:60]]


def download(run: Path, parts: int = 1) -> None:
    """Make a finished download of `BODIES`, the first of which lies twice."""
    fetch(run, [(f"http://a/{number}", body) for number, body in enumerate([*BODIES, BODIES[0]])], parts)


def config(run: Path, kind: str, partitions: int = 2, **keys: Any) -> RunConfig:
    return RunConfig(
        run=RunSection(path=run, **keys),
        spark=SparkSection(partitions=partitions),
        embed=EmbedSection(kind=kind),
    )


def rows_of(record: Record) -> list[dict[str, Any]]:
    return pq.read_table(record.path / "descriptors").sort_by("image_id").to_pylist()


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network of two views that gives NaN for a white picture."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Moody(torch.nn.Module):  # type: ignore[misc]
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            low = image.flatten(1).min(dim=1, keepdim=True)[0]
            vectors = torch.nn.functional.adaptive_avg_pool2d(image, (2, 3)).flatten(1)
            return torch.where(low > 2, torch.full_like(vectors, float("nan")), vectors)

    path = tmp_path_factory.mktemp("network") / "moody.pt"
    torch.jit.save(torch.jit.script(Moody().eval()), str(path))
    path.with_name("moody.pt.json").write_text('{"side": 12, "mirror": true}')
    return f"torchscript:{path}"


def test_builtin_rows_are_what_its_describer_says(spark: SparkSession, tmp_path: Path) -> None:
    download(tmp_path)
    record = embed.run(config(tmp_path, "builtin"))
    recipe = recipe_of("builtin")
    found = recipe.describer()(BODIES)
    wanted = {
        image_id(body): (found.codes[n].tobytes(), found.detail[n] if found.detail else None)
        for n, body in enumerate(BODIES) if n not in found.failed
    }  # fmt: skip
    rows = rows_of(record)
    assert {row["image_id"]: (row["codes"], row["detail"]) for row in rows} == wanted
    assert {(row["kind"], row["kind_sha256"]) for row in rows} == {(recipe.kind.name, recipe.kind.sha256)}
    assert record.ledgers == [
        {"unit": "images", "in": 9, "out": 7, "dropped": {"undecodable_image": 2}, "merged": 0}
    ]
    assert Kind.of_note(record.notes["kind"]) == recipe.kind
    assert (record.notes["devices"], record.notes["plain"]) == ({"cpu": 7}, 1)


def test_a_network_gives_one_answer_and_every_picture_a_row_or_a_reason(
    spark: SparkSession,
    tmp_path: Path,
    moody: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    download(tmp_path / "a")
    download(tmp_path / "b", parts=3)
    first = embed.run(config(tmp_path / "a", moody))
    monkeypatch.setattr(embed, "PICTURES_PER_TASK", 1)
    again = embed.run(config(tmp_path / "b", moody, partitions=3))
    assert again.data["tables"] == first.data["tables"]
    assert first.ledgers == [
        {
            "unit": "images",
            "in": 9,
            "out": 6,
            "dropped": {"no_descriptor": 1, "undecodable_image": 2},
            "merged": 0,
        }
    ]
    kind = Kind.of_note(first.notes["kind"])
    assert (kind.name, kind.views, kind.query_views, kind.dimension) == ("torchscript:moody.pt", 2, 2, 18)
    assert {len(row["codes"]) for row in rows_of(first)} == {36}
    if first.notes["devices"] == {"cpu": 6}:
        assert capfd.readouterr().err.count("warning: no GPU") == 2


def test_another_kind_is_another_result_and_the_error_names_both(
    spark: SparkSession, tmp_path: Path, moody: str
) -> None:
    download(tmp_path)
    embed.run(config(tmp_path, "builtin"))
    assert embed.run(config(tmp_path, "builtin")).skipped
    with pytest.raises(StageError, match=r"embed\.kind.*builtin.*torchscript:moody\.pt"):
        embed.run(config(tmp_path, moody))


def test_the_same_weights_elsewhere_are_the_same_result(
    spark: SparkSession, tmp_path: Path, moody: str
) -> None:
    download(tmp_path)
    record = embed.run(config(tmp_path, moody))
    other = tmp_path / "copy" / "moody.pt"
    other.parent.mkdir()
    for ending in ("", ".json"):
        place = Path(moody.partition(":")[2] + ending)
        other.with_name(place.name).write_bytes(place.read_bytes())
    assert embed.run(config(tmp_path, f"torchscript:{other}")).skipped
    assert not {str(tmp_path), str(Path(moody.partition(":")[2]).parent)} & set(
        json.dumps(record.data["externals"]).split('"')
    )


def test_a_network_that_cannot_be_used_stops_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.pt"):
        embed.run(config(tmp_path, f"torchscript:{tmp_path / 'gone.pt'}"))
    with pytest.raises(ConfigError, match=r"embed\.kind"):
        config(tmp_path, "sscd")
    assert not list(tmp_path.iterdir())


def test_weights_that_travel_give_the_same_codes(
    spark: SparkSession, moody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(moody)
    monkeypatch.setattr(describing, "is_local", lambda _: False)
    how = Describing.prepare(spark, recipe, "cpu")
    assert how.weights is not None
    assert how.weights.endswith(".pt")
    schema = pa.schema([pa.field("codes", pa.binary())])

    def codes(batches: Any) -> Any:
        for _ in batches:
            yield pa.RecordBatch.from_pydict(
                {"codes": [how.describer()(BODIES[:3]).codes.tobytes()]}, schema=schema
            )

    from curation.spark.batches import map_batches

    found = map_batches(spark.range(1, numPartitions=1), codes, schema).collect()
    assert bytes(found[0]["codes"]) == recipe.describer("cpu")(BODIES[:3]).codes.tobytes()


def test_a_shipped_array_is_named_by_what_it_holds(spark: SparkSession) -> None:
    array = np.arange(12, dtype=np.int8).reshape(3, 4)
    name = ship_array(spark, "codes", array)
    assert ship_array(spark, "codes", array.copy()) == name
    assert ship_array(spark, "codes", array.reshape(4, 3)) != name
    assert np.array_equal(shipped_array(name), array)
