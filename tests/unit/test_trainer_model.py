import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.model import CLIP, ModelShape, initialise

SMALL = ModelShape(
    image_size=32, patch_size=8, width=64, layers=2, heads=2, text_width=32, text_layers=3, text_heads=1,
    context_length=16, vocab_size=300, embed_dim=48,
)  # fmt: skip
KELIP = ModelShape(
    image_size=224, patch_size=32, width=768, layers=12, heads=12, text_width=512, text_layers=12, text_heads=8,
    context_length=77, vocab_size=98_818, embed_dim=512,
)  # fmt: skip
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "open_clip_state_dict.json"


def small(seed: int = 0) -> CLIP:
    model = CLIP(SMALL)
    initialise(model, seed)
    return model.eval()


def texts(*lengths: int, width: int = 16) -> torch.Tensor:
    tokens = torch.full((len(lengths), width), SMALL.vocab_size - 3)
    for row, length in zip(tokens, lengths, strict=True):
        row[0] = SMALL.vocab_size - 2
        row[1:length] = torch.arange(1, length) * 7 % 290
        row[length] = SMALL.vocab_size - 1
    return tokens


def test_kelips_model_has_the_parameters_of_its_paper() -> None:
    with torch.device("meta"):
        assert sum(weight.numel() for weight in CLIP(KELIP).parameters()) == 176_575_233


def test_names_and_shapes_of_weights_are_open_clips() -> None:
    golden = json.loads(GOLDEN.read_text())
    with torch.device("meta"):
        found = {
            name: list(weight.shape)
            for name, weight in CLIP(ModelShape(**golden["shape"])).state_dict().items()
        }
    assert found == golden["state_dict"]


def test_padding_changes_no_text_vector() -> None:
    model, tokens = small(), texts(4, 7)
    torch.testing.assert_close(model.encode_text(tokens), model.encode_text(tokens[:, :8]))


def test_a_text_vector_depends_on_every_token_before_the_end_and_on_none_after() -> None:
    model, tokens = small(), texts(5)
    changed, after = tokens.clone(), tokens.clone()
    changed[0, 2] += 1
    after[0, 9] = 3
    assert not torch.allclose(model.encode_text(changed), model.encode_text(tokens))
    torch.testing.assert_close(model.encode_text(after), model.encode_text(tokens))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 48), (16, 40)])
def test_pictures_of_other_sizes_get_interpolated_positions(height: int, width: int) -> None:
    vectors = small().encode_image(torch.ones(2, 3, height, width))
    assert vectors.shape == (2, 48)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_weights_are_drawn_by_name_so_models_that_differ_in_one_part_share_the_others() -> None:
    one, other = small(), CLIP(ModelShape(**SMALL.as_json() | {"vocab_size": 500}))
    initialise(other, 0)
    weights = dict(other.named_parameters())
    for name, weight in one.named_parameters():
        assert torch.equal(weight, weights[name]) or name == "token_embedding.weight"
    assert not torch.equal(one.visual.proj, small(1).visual.proj)


def test_no_weight_is_left_as_memory_held_it() -> None:
    model = CLIP(SMALL)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            gain = ".ln_" in f".{name}" and name.endswith("weight")
            if not gain and name != "logit_scale":
                weight.fill_(float("nan"))
    initialise(model, 0)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_weights_go_to_open_clip_and_back_and_give_the_same_vectors() -> None:
    open_clip = import_open_clip()
    config = SMALL.open_clip_config()
    theirs = open_clip.CLIP(
        config["embed_dim"], config["vision_cfg"], config["text_cfg"], quick_gelu=config["quick_gelu"]
    ).eval()
    ours = small()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    picture, tokens = torch.linspace(-2, 2, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32), texts(3, 9)
    torch.testing.assert_close(theirs.encode_image(picture, normalize=True), ours.encode_image(picture))
    torch.testing.assert_close(theirs.encode_text(tokens, normalize=True), ours.encode_text(tokens))


_DECLARED: list[Any] = []  # torchvision's operators, kept alive


def import_open_clip() -> Any:
    """Import open_clip where it is installed; beside a CPU build of torch, torchvision's operators are declared first."""
    warnings.simplefilter("ignore")
    try:
        return pytest.importorskip("open_clip", reason="open_clip_torch is not installed")
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(library)
        return pytest.importorskip("open_clip")
