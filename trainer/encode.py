"""A checkpoint as a function from held-out pictures and texts to unit vectors: what evaluation looks at."""

# N pictures or texts, D shared space

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from curation.errors import InputError
from trainer.checkpoint import TOKENIZER, load_model
from trainer.data import every_picture
from trainer.manifest import Pictures
from trainer.processes import choose_device
from trainer.tokenizer import Vocabulary
from trainer.transforms import centre_crop, normalise

DECODE_THREADS = 2


class Encoder:
    """A model with its vocabulary, ready to encode."""

    def __init__(self, checkpoint: Path, *, device: str, batch_size: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._device = choose_device(device)
        self._model, notes = load_model(checkpoint, str(self._device))
        self._vocabulary = Vocabulary.load(checkpoint.parent / TOKENIZER)
        self._batch_size = batch_size
        self.tokenizer_sha256 = self._vocabulary.sha256
        if self.tokenizer_sha256 != notes["tokenizer_sha256"]:
            raise InputError(
                f"{checkpoint} was trained with the tokenizer {notes['tokenizer_sha256'][:12]}..., "
                f"beside it lies {self.tokenizer_sha256[:12]}...: put its own {TOKENIZER} there"
            )

    def images(self, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors, float32 (N, D), of the pictures' centre crops, and which could be decoded, bool (N,); the others are zero."""
        size = self._model.shape.image_size
        image_ND = np.zeros((len(pictures), self._model.shape.embed_dim), dtype=np.float32)
        decoded = np.zeros(len(pictures), dtype=bool)
        places: list[int] = []
        crops: list[np.ndarray] = []
        for index, pixels, _ in every_picture(pictures, size, DECODE_THREADS):
            if pixels is not None:
                places.append(index)
                crops.append(centre_crop(pixels, size))
            if crops and (len(crops) == self._batch_size or index == len(pictures) - 1):
                image_ND[places], decoded[places] = self._image_vectors(np.stack(crops)), True
                places, crops = [], []
        return image_ND, decoded

    def _image_vectors(self, pixels_NSS3: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            pixels = normalise(torch.from_numpy(pixels_NSS3).to(self._device))
            found: np.ndarray = self._model.encode_image(pixels).cpu().numpy()
        return found

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return vectors of texts, float32 (N, D)."""
        parts = []
        for start in range(0, len(texts), self._batch_size):
            some = texts[start : start + self._batch_size]
            tokens_NL = self._vocabulary.encode(some, self._model.shape.context_length)
            with torch.inference_mode():
                parts.append(
                    self._model.encode_text(torch.from_numpy(tokens_NL).to(self._device)).cpu().numpy()
                )
        return np.concatenate(parts)
