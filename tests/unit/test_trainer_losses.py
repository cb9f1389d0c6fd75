import math

import pytest
import torch
import torch.nn.functional as F

from trainer.losses import info_nce, info_nce_oracle


def vectors(rows: int, shift: float) -> torch.Tensor:
    grid = torch.arange(rows * 5, dtype=torch.float32).reshape(rows, 5)
    return F.normalize(torch.sin(grid * 1.7 + shift), dim=-1).requires_grad_()


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_the_loss_is_its_definition(rows: int, scale: float) -> None:
    image, text = vectors(rows, 0.0), vectors(rows, 0.9)
    loss, by_pair = info_nce(image, text, torch.tensor(scale), torch.ones(rows, dtype=torch.bool))
    assert loss.item() == pytest.approx(info_nce_oracle(image.detach(), text.detach(), scale), abs=1e-4)
    assert float(by_pair.mean()) == pytest.approx(loss.item(), abs=1e-5)


def test_equal_vectors_give_the_logarithm_of_the_batch() -> None:
    same = torch.ones(8, 4) / 2
    loss, _ = info_nce(same, same, torch.tensor(10.0), torch.ones(8, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(8))


def test_a_pair_that_is_not_kept_is_as_if_it_were_not_there() -> None:
    kept = torch.tensor([True, False, True, True])
    image, text = vectors(4, 0.0), vectors(4, 0.9)
    loss, _ = info_nce(image, text, torch.tensor(20.0), kept)
    loss.backward()
    small_image, small_text = (v.detach()[kept].requires_grad_() for v in (image, text))
    smaller, _ = info_nce(small_image, small_text, torch.tensor(20.0), torch.ones(3, dtype=torch.bool))
    smaller.backward()
    assert loss.item() == pytest.approx(smaller.item(), abs=1e-6)
    torch.testing.assert_close(image.grad[kept], small_image.grad)
    assert torch.isfinite(image.grad).all()
    assert not image.grad[1].any()
    assert not text.grad[1].any()
