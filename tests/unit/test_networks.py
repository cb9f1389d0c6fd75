"""Networks as descriptors: tiny ones, made here. What they see, what becomes of their vectors, and what is refused."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from curation.dedup.kinds import kind_of, recipe_of
from curation.errors import ConfigError, InputError, Reason

torch = pytest.importorskip("torch", reason="torch is not installed")

from curation.dedup.networks import Look, Network, network_of, normalised, pixels_of, rounded  # noqa: E402
from trainer.checkpoint import OPEN_CLIP_CONFIG, finish  # noqa: E402
from trainer.model import CLIP, ModelShape, initialise  # noqa: E402
from trainer.transforms import MEAN, STD, centre_crop, normalise  # noqa: E402

SMALL = ModelShape(
    image_size=16, patch_size=8, width=64, layers=1, heads=1, text_width=16, text_layers=1, text_heads=1,
    context_length=4, vocab_size=300, embed_dim=24,
)  # fmt: skip


class Tiny(torch.nn.Module):
    """A picture's colours on a 3 x 4 grid, then a fixed mixture of them."""

    def __init__(self, dimension: int = 36, seed: int = 0) -> None:
        super().__init__()
        weight = torch.randn(36, dimension, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("weight", torch.eye(36) if dimension == 36 and seed == 0 else weight)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.adaptive_avg_pool2d(image, (3, 4)).flatten(1)
        return pooled @ self.weight


class Bad(torch.nn.Module):
    """A network whose output is not what it should be."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        flat = image.flatten(1)
        if self.how == "a picture":
            return image
        if self.how == "integers":
            return flat[:, :8].long()
        if self.how == "one number":
            return flat[:, :1]
        if self.how == "too many":
            return flat[:, :1041]
        if self.how == "nan always":
            return flat[:, :8] * float("nan")
        return torch.zeros(len(flat) + 1, 8)


class Moody(torch.nn.Module):
    """NaN for a picture that is all white, zero for one that is all black."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        flat = image.flatten(1)
        low, high = flat.min(dim=1, keepdim=True)[0], flat.max(dim=1, keepdim=True)[0]
        vectors = flat[:, :8].clone()
        vectors = torch.where(low > 2, torch.full_like(vectors, float("nan")), vectors)
        return torch.where(high < -1.5, torch.zeros_like(vectors), vectors)


def script(path: Path, module: Any) -> str:
    torch.jit.save(torch.jit.script(module.eval()), str(path))
    return f"torchscript:{path}"


def settings(path: Path, **look: Any) -> None:
    path.with_name(path.name + ".json").write_text(json.dumps(look))


def body(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def picture(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    small = (np.arange(36).reshape(3, 4, 3) * (37 + 2 * seed) + 11 * seed) % 256
    return Image.fromarray(small.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


PICTURES = [picture(seed, (40 + 30 * seed, 70)) for seed in range(5)]
BODIES = [body(image) for image in PICTURES]


def test_by_default_a_network_sees_what_sscd_documents(tmp_path: Path) -> None:
    network = network_of(script(tmp_path / "a.pt", Tiny()))
    assert network.look == Look(side=320, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    seen = np.asarray(PICTURES[3].resize((320, 320), Image.Resampling.BILINEAR), np.float32) / 255
    wanted = (seen - np.float32(network.look.mean)) / np.float32(network.look.std)
    found = normalised(pixels_of(PICTURES[3], network.look)[None], network.look)
    np.testing.assert_allclose(found[0], wanted.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)


def test_codes_are_the_networks_vectors_rounded(tmp_path: Path) -> None:
    name = script(tmp_path / "a.pt", Tiny())
    found = recipe_of(name).describer("cpu")(BODIES)
    module, look = torch.jit.load(str(tmp_path / "a.pt")), network_of(name).look
    vectors = module(
        torch.from_numpy(normalised(np.stack([pixels_of(p, look) for p in PICTURES]), look))
    ).numpy()
    assert (
        np.abs(found.codes[:, 0].astype(int) - rounded(vectors).astype(int)).max() <= 1
    )  # another batch, other sums
    codes = found.codes[:, 0].astype(np.float64)
    cosines = [
        matrix @ matrix.T
        for matrix in (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (codes, vectors))
    ]
    assert np.abs(cosines[0] - cosines[1]).max() < 3e-3  # of 36 dimensions
    assert found.width.tolist() == [p.width for p in PICTURES]
    assert found.device == "cpu"


def test_rounding_is_as_stated() -> None:
    vectors = np.array([[0, 0, 0], [1, -2, 4], [254, 1, -1], [1e-30, 0, -1e-30], [127, 0.5, 1.5]])
    wanted = [[0, 0, 0], [32, -64, 127], [127, 0, 0], [127, 0, -127], [127, 0, 2]]
    assert rounded(vectors).tolist() == wanted
    assert rounded(vectors * 3.7).tolist() == wanted


def test_on_a_cpu_codes_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    describe = recipe_of(script(tmp_path / "a.pt", Tiny(96, seed=1))).describer("cpu")
    whole = describe(BODIES)
    backwards = describe(BODIES[::-1])
    assert np.array_equal(backwards.codes[::-1], whole.codes)
    for size in (1, 2, 3):
        parts = [describe(BODIES[start : start + size]).codes for start in range(0, len(BODIES), size)]
        assert np.array_equal(np.concatenate(parts), whole.codes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_on_a_gpu_codes_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    describe = recipe_of(script(tmp_path / "a.pt", Tiny(96, seed=1))).describer("cuda")
    whole = describe(BODIES * 20)
    assert whole.device == "cuda"
    parts = [describe(BODIES).codes for _ in range(20)]
    assert np.array_equal(np.concatenate(parts), whole.codes)


def test_a_recipe_is_small_and_works_from_a_copy_of_the_weights(tmp_path: Path) -> None:
    recipe = recipe_of(script(tmp_path / "a.pt", Tiny()))
    packed = pickle.dumps(recipe)
    assert len(packed) < 2_000
    copy = (tmp_path / "a.pt").rename(tmp_path / "elsewhere")
    again = pickle.loads(packed).describer("cpu", copy)(BODIES)
    assert again.codes.any()


def test_a_relative_path_is_good_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "a.pt", Tiny())
    monkeypatch.chdir(tmp_path)
    recipe = recipe_of("torchscript:a.pt")
    monkeypatch.chdir("/")
    assert recipe.describer("cpu")(BODIES[:1]).codes.any()


def test_the_json_beside_the_weights_sets_what_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    name = script(path, Tiny())
    plain = kind_of(name)
    settings(path, side=24, fit="crop", mirror=True)
    recipe = recipe_of(name)
    assert (recipe.kind.views, recipe.kind.query_views, plain.views) == (2, 2, 1)
    assert recipe.kind.sha256 != plain.sha256
    describe = recipe.describer("cpu")
    codes, mirrored = (
        describe([body(image)]).codes[0]
        for image in (picture(1, (48, 24)), ImageOps.mirror(picture(1, (48, 24))))
    )
    assert np.array_equal(codes, mirrored[::-1])
    assert not np.array_equal(codes[0], codes[1])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"size": 3}, "'size'"), ({"side": 0}, "side"), ({"side": 2.5}, "side"), ({"fit": "pad"}, "fit"),
        ({"mean": [1, 2]}, "mean"), ({"mean": 3}, "len"), ({"std": [0, 1, 1]}, "std"), ({"mirror": 1}, "mirror"),
    ],
)  # fmt: skip
def test_a_mistake_in_that_json_names_the_file(tmp_path: Path, given: dict[str, Any], named: str) -> None:
    name = script(tmp_path / "a.pt", Tiny())
    settings(tmp_path / "a.pt", **given)
    with pytest.raises(InputError, match=r"a\.pt\.json.*" + named):
        kind_of(name)
    (tmp_path / "a.pt.json").write_text("[1")
    with pytest.raises(InputError, match=r"a\.pt\.json"):
        kind_of(name)


def test_the_kind_is_the_weights_and_not_the_place(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    first = kind_of(script(tmp_path / "a.pt", Tiny()))
    copy = tmp_path / "x" / "a.pt"
    copy.write_bytes((tmp_path / "a.pt").read_bytes())
    assert kind_of(f"torchscript:{copy}") == first
    assert first.name == "torchscript:a.pt"
    assert kind_of(script(copy, Tiny(36, seed=2))).sha256 != first.sha256


@pytest.mark.parametrize(
    "how", ["a picture", "integers", "one number", "too many", "nan always", "another number of rows"]
)
def test_a_network_that_gives_no_descriptors_is_refused_before_anything_runs(
    tmp_path: Path, how: str
) -> None:
    name = script(tmp_path / "bad.pt", Bad(how))
    with pytest.raises(InputError, match=r"bad\.pt"):
        kind_of(name)


def test_a_missing_file_and_a_file_that_is_no_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*gone\.pt"):
        kind_of(f"torchscript:{tmp_path / 'gone.pt'}")
    (tmp_path / "text.pt").write_text("weights")
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.pt")
    for name in ("text.pt", "plain.pt"):
        with pytest.raises(InputError, match=f"{name} is no TorchScript"):
            kind_of(f"torchscript:{tmp_path / name}")
        with pytest.raises(InputError, match=name):
            kind_of(f"clip:{tmp_path / name}")


def test_nan_has_a_reason_and_zero_is_near_to_nothing(tmp_path: Path) -> None:
    describe = recipe_of(script(tmp_path / "moody.pt", Moody())).describer("cpu")
    white, black = (body(Image.new("RGB", (20, 20), colour)) for colour in ("white", "black"))
    found = describe([white, BODIES[0], b"<html>", black])
    assert found.failed == {0: Reason.NO_DESCRIPTOR, 2: Reason.UNDECODABLE_IMAGE}
    assert found.codes.any(axis=(1, 2)).tolist() == [False, True, False, False]
    assert found.width.tolist() == [0, PICTURES[0].width, 0, 20]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_and_auto_takes_the_cpu(tmp_path: Path) -> None:
    recipe = recipe_of(script(tmp_path / "a.pt", Tiny()))
    for device in ("cuda", "cuda:3"):
        with pytest.raises(ConfigError, match=r"embed\.device"):
            recipe.describer(device)
    assert recipe.describer("auto")([]).device == "cpu"


# ---- clip


def checkpoint(folder: Path) -> CLIP:
    model = CLIP(SMALL)
    initialise(model, 3)
    folder.mkdir(exist_ok=True)
    finish(model.eval(), folder, {"tokenizer_sha256": "0" * 64})
    return model


def vectors_of(model: CLIP) -> np.ndarray:
    crops = np.stack([centre_crop(np.asarray(image), SMALL.image_size) for image in PICTURES])
    with torch.inference_mode():
        found: np.ndarray = model.visual(normalise(torch.from_numpy(crops))).numpy()
    return found


def test_our_trainers_checkpoint_is_a_kind(tmp_path: Path) -> None:
    model = checkpoint(tmp_path)
    recipe = recipe_of(f"clip:{tmp_path / 'final.pt'}")
    assert isinstance(recipe, Network)
    assert recipe.look == Look(side=16, fit="crop", interpolation="bicubic", mean=MEAN, std=STD)
    assert (recipe.kind.dimension, recipe.kind.views) == (24, 1)
    found = recipe.describer("cpu")(BODIES).codes[:, 0].astype(int)
    assert np.abs(found - rounded(vectors_of(model)).astype(int)).max() <= 1


@pytest.mark.parametrize("wrapped", [True, False])
def test_open_clips_state_dict_gives_the_same_codes(tmp_path: Path, wrapped: bool) -> None:
    model = checkpoint(tmp_path / "ours")
    ours = recipe_of(f"clip:{tmp_path / 'ours' / 'final.pt'}").describer("cpu")(BODIES)
    state: dict[str, Any] = dict(model.state_dict())
    if wrapped:  # as open_clip's trainer saves it from several processes
        state = {
            "epoch": 3,
            "name": "x",
            "state_dict": {f"module.{name}": value for name, value in state.items()},
        }
    torch.save(state, tmp_path / "epoch_3.pt")
    with pytest.raises(InputError, match=OPEN_CLIP_CONFIG):
        kind_of(f"clip:{tmp_path / 'epoch_3.pt'}")
    (tmp_path / OPEN_CLIP_CONFIG).write_text((tmp_path / "ours" / OPEN_CLIP_CONFIG).read_text())
    theirs = recipe_of(f"clip:{tmp_path / 'epoch_3.pt'}").describer("cpu")(BODIES)
    assert np.array_equal(theirs.codes, ours.codes)


def test_the_activation_counts(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    state = torch.load(tmp_path / "final.pt", weights_only=True)["state_dict"]
    torch.save(state, tmp_path / "bare.pt")
    name = f"clip:{tmp_path / 'bare.pt'}"
    quick = recipe_of(name).describer("cpu")(BODIES).codes
    config = json.loads((tmp_path / OPEN_CLIP_CONFIG).read_text())
    del config["model_cfg"]["quick_gelu"]
    (tmp_path / OPEN_CLIP_CONFIG).write_text(json.dumps(config))
    assert not np.array_equal(recipe_of(name).describer("cpu")(BODIES).codes, quick)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"timm_model_name": "convnext_base"}, "timm_model_name"), ({"layers": [3, 4, 6, 3]}, "layers"),
        ({"attentional_pool": True}, "attentional_pool"), ({"head_width": 48}, "head_width"), ({"layers": 2}, "image tower"),
    ],
)  # fmt: skip
def test_a_tower_of_another_build_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    checkpoint(tmp_path)
    torch.save(torch.load(tmp_path / "final.pt", weights_only=True)["state_dict"], tmp_path / "bare.pt")
    config = json.loads((tmp_path / OPEN_CLIP_CONFIG).read_text())
    config["model_cfg"]["vision_cfg"] |= change
    (tmp_path / OPEN_CLIP_CONFIG).write_text(json.dumps(config))
    with pytest.raises(InputError, match=named):
        kind_of(f"clip:{tmp_path / 'bare.pt'}")
