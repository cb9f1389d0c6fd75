"""The model: KELIP's and CLIP's two towers, in the state-dict layout that OpenAI's and open_clip's weights have.

Radford et al. 2021 (CLIP); Ko and Gu 2022 (KELIP: ViT-B/32 with a bilingual vocabulary of 98,818). Pre-norm transformers with QuickGELU;
the picture is pooled at the class token, the text at [EOT], which is the highest id. Weights of the family load strictly, both ways.
"""

# B batch, C channels, H W pixels, P patches, L tokens, M width of a tower, D shared space

import math
from collections import OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curation.config import TrainSection
from curation.ids import coin

INITIAL_LOGIT_SCALE = math.log(1 / 0.07)  # CLIP, section 2.5


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What determines the names and shapes of the weights."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    text_width: int
    text_layers: int
    text_heads: int
    context_length: int
    vocab_size: int
    embed_dim: int

    @classmethod
    def of(cls, section: TrainSection, vocab_size: int) -> "ModelShape":
        """Return the shape of a configuration, with the vocabulary's true size."""
        return cls(
            image_size=section.image_size,
            patch_size=section.patch_size,
            width=section.width,
            layers=section.layers,
            heads=section.width // section.head_width,
            text_width=section.text_width,
            text_layers=section.text_layers,
            text_heads=section.text_width // section.head_width,
            context_length=section.context_length,
            vocab_size=vocab_size,
            embed_dim=section.embed_dim,
        )

    def as_json(self) -> dict[str, int]:
        """Return the fields by name."""
        return asdict(self)

    def open_clip_config(self) -> dict[str, Any]:
        """Return the `model_cfg` with which open_clip builds the same model."""
        return {
            "embed_dim": self.embed_dim,
            "quick_gelu": True,
            "vision_cfg": {
                "image_size": self.image_size,
                "patch_size": self.patch_size,
                "width": self.width,
                "layers": self.layers,
                "head_width": self.width // self.heads,
            },
            "text_cfg": {
                "context_length": self.context_length,
                "vocab_size": self.vocab_size,
                "width": self.text_width,
                "heads": self.text_heads,
                "layers": self.text_layers,
                "hf_tokenizer_name": "tokenizer.json",  # read from the same folder, whatever is named here
            },
        }


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the approximation that CLIP's weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, of x's shape."""
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head self-attention with torch's parameter names (in_proj_weight, in_proj_bias, out_proj)."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x_BLM: Tensor) -> Tensor:
        """Return (B, L, M)."""
        B, L, M = x_BLM.shape
        mixed = F.linear(x_BLM, self.in_proj_weight, self.in_proj_bias).view(
            B, L, 3, self.heads, M // self.heads
        )
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        out: Tensor = self.out_proj(seen.transpose(1, 2).reshape(B, L, M))
        return out


class Block(nn.Module):
    """One residual block: attention, then an MLP of four times the width, each behind a LayerNorm."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.attn = Attention(width, heads, causal=causal)
        self.ln_1 = nn.LayerNorm(width)
        layers = [
            ("c_fc", nn.Linear(width, 4 * width)),
            ("gelu", QuickGELU()),
            ("c_proj", nn.Linear(4 * width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x_BLM: Tensor) -> Tensor:
        """Return (B, L, M)."""
        x_BLM = x_BLM + self.attn(self.ln_1(x_BLM))
        out: Tensor = x_BLM + self.mlp(self.ln_2(x_BLM))
        return out


class Transformer(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, width: int, layers: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width, heads, causal=causal) for _ in range(layers)))

    def forward(self, x_BLM: Tensor) -> Tensor:
        """Return (B, L, M)."""
        out: Tensor = self.resblocks(x_BLM)
        return out


class VisionTransformer(nn.Module):
    """The image tower: patches, a class token, learned positions. Pictures of other sizes get interpolated positions."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        width, side = shape.width, shape.image_size // shape.patch_size
        self.conv1 = nn.Conv2d(3, width, shape.patch_size, stride=shape.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(side * side + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, shape.layers, shape.heads, causal=False)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, shape.embed_dim))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Return (B, D), not normalised. H and W are multiples of the patch's side."""
        patches = self.conv1(image_BCHW)
        positions = self.positions(patches.shape[2], patches.shape[3])
        x_BPM = patches.flatten(2).transpose(1, 2)
        first = self.class_embedding.to(x_BPM.dtype).expand(x_BPM.shape[0], 1, -1)
        x_BPM = self.ln_pre(torch.cat([first, x_BPM], dim=1) + positions.to(x_BPM.dtype))
        pooled: Tensor = self.ln_post(self.transformer(x_BPM)[:, 0])
        return pooled @ self.proj

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return positions (1 + rows * columns, M): the learned ones, or their bicubic interpolation on another grid."""
        side = math.isqrt(self.positional_embedding.shape[0] - 1)
        if (rows, columns) == (side, side):
            return self.positional_embedding
        first, grid = self.positional_embedding[:1], self.positional_embedding[1:]
        square = grid.T.reshape(1, -1, side, side)
        resized = F.interpolate(square, size=(rows, columns), mode="bicubic", align_corners=False)
        return torch.cat([first, resized.flatten(2)[0].T])


class CLIP(nn.Module):
    """Two towers into one space, and the learned temperature."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.visual = VisionTransformer(shape)
        self.token_embedding = nn.Embedding(shape.vocab_size, shape.text_width)
        self.positional_embedding = nn.Parameter(torch.empty(shape.context_length, shape.text_width))
        self.transformer = Transformer(shape.text_width, shape.text_layers, shape.text_heads, causal=True)
        self.ln_final = nn.LayerNorm(shape.text_width)
        self.text_projection = nn.Parameter(torch.empty(shape.text_width, shape.embed_dim))
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))

    def encode_image(self, image_BCHW: Tensor) -> Tensor:
        """Return unit vectors (B, D), float32, of pictures that are normalised by `trainer.transforms.normalise`."""
        return F.normalize(self.visual(image_BCHW).float(), dim=-1)

    def encode_text(self, tokens_BL: Tensor) -> Tensor:
        """Return unit vectors (B, D), float32, of token ids, L <= context_length; pooled at the highest id."""
        x_BLM = self.token_embedding(tokens_BL) + self.positional_embedding[: tokens_BL.shape[1]]
        x_BLM = self.ln_final(self.transformer(x_BLM))
        pooled = x_BLM[torch.arange(len(x_BLM), device=x_BLM.device), tokens_BL.argmax(dim=-1)]
        return F.normalize((pooled @ self.text_projection).float(), dim=-1)

    def forward(self, image_BCHW: Tensor, tokens_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return unit vectors of pictures and texts, (B, D) each, and the scale of their products, a scalar."""
        return self.encode_image(image_BCHW), self.encode_text(tokens_BL), self.logit_scale.exp()


def initialise(model: CLIP, seed: int) -> None:
    """Draw the weights, in place: CLIP's deviations for both towers, each weight's generator seeded by its own name.

    So two models that differ in one part (the vocabulary, say) start with equal weights in all others.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            deviation = _deviation(name, weight, model.shape)
            if deviation is not None:
                source = torch.Generator().manual_seed(int(coin(name, seed, "weights") * 2**53))
                weight.copy_(torch.randn(weight.shape, generator=source) * deviation)
            elif name.endswith("bias"):
                weight.zero_()


def _deviation(name: str, weight: Tensor, shape: ModelShape) -> float | None:
    """Return the standard deviation of a weight's draw; None for gains, biases and the logit scale."""
    visual = name.startswith("visual.")
    width, layers = (shape.width, shape.layers) if visual else (shape.text_width, shape.text_layers)
    if name == "token_embedding.weight":
        return 0.02
    if name == "positional_embedding":
        return 0.01
    if name.endswith(("out_proj.weight", "c_proj.weight")):
        return 1 / math.sqrt(2 * layers * width)
    if name.endswith("c_fc.weight"):
        return 1 / math.sqrt(2 * width)
    if name == "visual.conv1.weight":
        return 1 / math.sqrt(weight[0].numel())
    return 1 / math.sqrt(width) if weight.dim() > 1 or name.endswith("class_embedding") else None
