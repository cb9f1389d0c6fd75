"""Bytes of a picture to the pixels of a batch: decode at a bounded size, crop by coin or at the centre, normalise.

Pillow and numpy alone: PyPI's torchvision does not import beside a CPU build of torch. The augmentation is CLIP's, one random crop.
Decoding itself (transparency on white, palettes, CMYK, 16 bits, orientation) is `curation.images`.
"""

# N pictures, H W pixels, S side of the model's picture

import math

import numpy as np
import torch
from PIL import Image

from curation.images import decode

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of RGB in [0, 1]: OpenAI's CLIP, shared by open_clip and KELIP
STD = (0.26862954, 0.26130258, 0.27577711)
MIN_ASPECT, MAX_ASPECT = 3 / 4, 4 / 3  # of a random crop, width over height; Inception's, used by CLIP


def stored_side(image_size: int, crop_min_scale: float) -> int:
    """Return the shortest side, pixels, to which a picture is reduced before it is cropped.

    The smallest crop of a square picture, of the narrowest aspect, still has `image_size` pixels on its shorter side.
    """
    return math.ceil(image_size * math.sqrt(MAX_ASPECT / crop_min_scale))


def decode_reduced(body: bytes, side: int) -> np.ndarray:
    """Return uint8 (H, W, 3), the shorter side reduced to `side` where it is longer; never enlarged.

    Raises curation.images.UndecodableImageError.
    """
    image = decode(body, draft_side=side).image
    width, height = image.size
    shorter = min(width, height)
    if shorter > side:
        size = (max(side, round(width * side / shorter)), max(side, round(height * side / shorter)))
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(image)


def crop_boxes(sizes_N2: np.ndarray, coins_N4: np.ndarray, min_scale: float) -> np.ndarray:
    """Return random crops, int64 (N, 4) as left, top, right, bottom: RandomResizedCrop without its rejections.

    sizes_N2: widths and heights, pixels. coins_N4: in [0, 1), for area, aspect, left and top. The area is uniform in [min_scale, 1] of the
    picture; the aspect is log-uniform over the part of [3/4, 4/3] that fits into the picture; where none fits (a picture longer
    than that), the crop is as wide and as high as the limits allow.
    """
    widths, heights = sizes_N2.T.astype(np.float64)
    share = min_scale + (1 - min_scale) * coins_N4[:, 0]
    low = np.maximum(MIN_ASPECT, share * widths / heights)
    high = np.minimum(MAX_ASPECT, widths / (share * heights))
    fits = low <= high
    low, high = np.where(fits, low, 1.0), np.where(fits, high, 1.0)
    aspect = low * (high / low) ** coins_N4[:, 1]
    crop_w = np.where(
        fits, np.sqrt(share * widths * heights * aspect), np.minimum(widths, MAX_ASPECT * heights)
    )
    crop_h = np.where(
        fits, np.sqrt(share * widths * heights / aspect), np.minimum(heights, widths / MIN_ASPECT)
    )
    crop_w, crop_h = (
        np.clip(np.rint(side), 1, limit) for side, limit in ((crop_w, widths), (crop_h, heights))
    )
    left = np.floor(coins_N4[:, 2] * (widths - crop_w + 1))
    top = np.floor(coins_N4[:, 3] * (heights - crop_h + 1))
    return np.stack([left, top, left + crop_w, top + crop_h], axis=1).astype(np.int64)


def crop(pixels_HW3: np.ndarray, box: np.ndarray, image_size: int) -> np.ndarray:
    """Return the box (left, top, right, bottom) of a picture, resized to uint8 (S, S, 3), bicubic, from its pixels alone."""
    left, top, right, bottom = box.tolist()
    image = Image.fromarray(pixels_HW3[top:bottom, left:right])
    return np.asarray(image.resize((image_size, image_size), Image.Resampling.BICUBIC))


def centre_crop(pixels_HW3: np.ndarray, image_size: int) -> np.ndarray:
    """Return the largest square at the centre, resized to uint8 (S, S, 3): what evaluation sees."""
    height, width = pixels_HW3.shape[:2]
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return crop(pixels_HW3, np.array([left, top, left + side, top + side]), image_size)


def normalise(pixels_NSS3: torch.Tensor) -> torch.Tensor:
    """Return float32 (N, 3, S, S), zero mean and unit deviation by CLIP's figures, of uint8 (N, S, S, 3), on its device."""
    mean, std = (torch.tensor(values, device=pixels_NSS3.device) for values in (MEAN, STD))
    return ((pixels_NSS3.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
