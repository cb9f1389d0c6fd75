"""Networks as descriptors: an exported TorchScript module (SSCD and the like), or the image tower of a CLIP checkpoint.

A network's vector v becomes int8 codes by one rule: round(127 v / max |v|), halves to even, in float64. The length of v does not
count; a cosine of 0.95 moves by 0.00015 (root mean square, 512 dimensions, normal entries), one of 0.75 by 0.0003.
The codes are the same on one machine with one version of torch, not on any: floating sums run in the library's order. On a CPU each
picture is a forward pass of its own, on a GPU each pass has `GPU_BATCH` pictures, the last one padded: so the codes do not depend
on which pictures come together, however the rows are partitioned.
"""

# B pictures, C channels, S side of the network's picture, V views, D dimensions

import functools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from curation.canonical import sha256_json
from curation.config_dedup import weights_of
from curation.dedup.exact import MAX_DIMENSION
from curation.dedup.kinds import Described, Kind
from curation.errors import ConfigError, InputError, Reason, require
from curation.extras import missing_network
from curation.images import Picture, UndecodableImageError, decode
from curation.stage import file_sha256

VERSION = 1  # of what this file does to a picture and to a vector
GPU_BATCH = 64  # pictures a forward pass on a GPU
# Cosines from which pictures are near, and from which pairs are kept. SSCD's authors give 0.75 for a precision of 90 % on DISC; of a
# CLIP tower 0.95 stands for hardly more than copies. Another network, or another pool, wants its own: dedup.threshold.
THRESHOLDS = {"torchscript": (0.75, 0.7), "clip": (0.95, 0.92)}
DECODE_THREADS = 4  # beside a GPU, which waits for pictures otherwise
CLIP_TOWER = "trainer.describe"  # found at run time: the trainer stands above this layer
Forward = Callable[[np.ndarray], np.ndarray]
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a network sees a picture; the defaults are those that SSCD documents for its models."""

    side: int = 320
    """Pixels a side of the network's square picture."""
    fit: Literal["stretch", "crop"] = "stretch"
    """`stretch`: the whole picture, to a square; `crop`: the largest square at its centre."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How it is resized."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Of red, green and blue in [0, 1]: ImageNet's."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Deviations of the same."""
    mirror: bool = False
    """A second view, of the mirrored picture: for networks that do not take a picture and its mirror image for one."""

    def __post_init__(self) -> None:
        require(type(self.side) is int and 1 <= self.side <= 4096, "side", self.side, "1 to 4096 pixels")
        require(self.fit in {"stretch", "crop"}, "fit", self.fit, "stretch or crop")
        require(self.interpolation in _FILTERS, "interpolation", self.interpolation, "bilinear or bicubic")
        for name in ("mean", "std"):
            value = getattr(self, name)
            three = len(value) == 3 and all(isinstance(part, int | float) for part in value)
            require(three, name, value, "three numbers: red, green, blue")
        require(min(self.std) > 0, "std", self.std, "numbers above 0")
        require(isinstance(self.mirror, bool), "mirror", self.mirror, "true or false")


@dataclass(frozen=True)
class Network:
    """A recipe with weights; see `curation.dedup.kinds.Recipe`."""

    family: str
    """torchscript or clip."""
    weights: Path
    """The file on the machine that read it."""
    weights_sha256: str
    look: Look
    dimension: int
    tower: dict[str, Any] = field(default_factory=dict)
    """Of `clip`: the shape of the image tower, as `trainer.describe` reads it."""

    @property
    def kind(self) -> Kind:
        """Its name is the family and the file's own name; its hash covers the weights and all that is done around them."""
        parameters = {
            "version": VERSION, "family": self.family, "weights": self.weights_sha256, "look": asdict(self.look),
            "tower": self.tower, "dimension": self.dimension,
        }  # fmt: skip
        views = 1 + self.look.mirror
        name = f"{self.family}:{self.weights.name}"
        threshold, floor = THRESHOLDS[self.family]
        return Kind(
            name, sha256_json(parameters), views, views, self.dimension, threshold=threshold, floor=floor
        )

    def describer(self, device: str = "cpu", weights: Path | None = None) -> "NetworkDescriber":
        """Load the weights and return what describes pictures. Raises ConfigError where cuda is asked for and absent."""
        return NetworkDescriber(self, device, weights or self.weights)


def network_of(name: str) -> Network:
    """Return the network of `torchscript:PATH` or `clip:CHECKPOINT`, tried out on one picture.

    A JSON file of the same name with `.json` behind it overrides fields of `Look`. Raises MissingExtraError without torch, InputError
    that names the file where it is missing, is no such network, or gives anything but (1, D) finite floats, D up to 1,040.
    """
    family = name.partition(":")[0]
    _torch()
    path = weights_of(name)
    assert path is not None
    tower: dict[str, Any] = {}
    look = Look()
    if family == "clip":
        tower, seen = import_module(CLIP_TOWER).settings_of(path)
        look = Look(fit="crop", **seen)
    network = Network(family, path, file_sha256(path), _overridden(look, path), 0, tower)
    probe = np.linspace(-1, 1, 3 * network.look.side**2, dtype=np.float32)
    vector = _forward(network, path, "cpu")(probe.reshape(1, 3, network.look.side, network.look.side))
    if not np.isfinite(vector).all():
        raise InputError(f"{path} gives NaN or infinity for a plain gradient: its weights are not whole")
    return replace(network, dimension=vector.shape[1])


def _overridden(look: Look, weights: Path) -> Look:
    """Return the look with what the JSON file beside the weights says. Raises InputError that names the file and the key."""
    beside = weights.with_name(weights.name + ".json")
    if not beside.is_file():
        return look
    known = {f.name for f in fields(Look)}
    try:
        given = json.loads(beside.read_text(encoding="utf-8"))
        if not isinstance(given, dict) or set(given) - known:
            odd = min(set(given) - known) if isinstance(given, dict) else type(given).__name__
            raise InputError(f"{beside} has {odd!r}; an object is wanted, of {', '.join(sorted(known))}")
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        return Look(**asdict(look) | lists)
    except (ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{beside} cannot be used: {error}") from error


class NetworkDescriber:
    """Decodes, looks and computes; see `curation.dedup.kinds.Describer`."""

    def __init__(self, network: Network, device: str, weights: Path) -> None:
        self._network = network
        self.device = chosen_device(device)
        self.on_gpu = self.device != "cpu"
        self.batch = GPU_BATCH if self.on_gpu else 16
        self._forward = _forward(network, weights, self.device)
        self._together = GPU_BATCH if self.on_gpu else 1
        self._threads = ThreadPoolExecutor(DECODE_THREADS) if self.on_gpu else None

    def __call__(self, bodies: Sequence[bytes]) -> Described:
        """Describe pictures: as `Describer`. What is NaN or infinite has no descriptor, and a zero vector has zero codes."""
        look, seen = self._network.look, functools.partial(_seen, look=self._network.look)
        pictures = list(self._threads.map(seen, bodies) if self._threads else map(seen, bodies))
        sides = np.zeros((2, len(bodies)), np.int32)
        codes = np.zeros((len(bodies), 1 + look.mirror, self._network.dimension), np.int8)
        failed: dict[int, Reason] = {}
        whole = []
        for position, found in enumerate(pictures):
            if isinstance(found, Reason):
                failed[position] = found
            else:
                sides[:, position] = found[1].width, found[1].height
                whole.append((position, found[0]))
        for start in range(0, len(whole), self._together):
            part = whole[start : start + self._together]
            vectors = self._vectors([pixels for _, pixels in part])
            finite = np.isfinite(vectors).all(axis=(1, 2))
            for (position, _), vector, sound in zip(part, vectors, finite, strict=True):
                if sound:
                    codes[position] = rounded(vector)
                else:
                    failed[position] = Reason.NO_DESCRIPTOR
                    sides[:, position] = 0
        return Described(sides[0], sides[1], codes, failed=failed, device="cuda" if self.on_gpu else "cpu")

    def _vectors(self, pixels: list[np.ndarray]) -> np.ndarray:
        """Return vectors, float (B, V, D), of pictures uint8 (S, S, 3)."""
        pixels_BSSC = np.stack(pixels + [pixels[0]] * (self._together - len(pixels)))
        views = [pixels_BSSC, pixels_BSSC[:, :, ::-1]] if self._network.look.mirror else [pixels_BSSC]
        found = [self._forward(normalised(view, self._network.look)) for view in views]
        return np.stack(found, axis=1)[: len(pixels)]


def rounded(vectors_VD: np.ndarray) -> np.ndarray:
    """Return int8 codes of vectors (..., D): 127 v / max |v|, rounded with halves to even; zero stays zero."""
    exact = vectors_VD.astype(np.float64)
    largest = np.abs(exact).max(axis=-1, keepdims=True)
    scaled: np.ndarray = np.rint(127 * (exact / np.where(largest > 0, largest, 1)))
    return scaled.astype(np.int8)


def _seen(body: bytes, look: Look) -> tuple[np.ndarray, Picture] | Reason:
    """Return what the network sees of a picture, uint8 (S, S, 3), and the picture; or why there is none."""
    try:
        picture = decode(body, draft_side=2 * look.side)  # at least two pixels for one
    except UndecodableImageError as error:
        return error.reason
    return pixels_of(picture.image, look), picture


def pixels_of(image: Image.Image, look: Look) -> np.ndarray:
    """Return an RGB picture as the network sees it, uint8 (S, S, 3)."""
    size = (look.side, look.side)
    method = _FILTERS[look.interpolation]
    if look.fit == "crop":
        return np.asarray(ImageOps.fit(image, size, method))
    return np.asarray(image.resize(size, method))


def normalised(pixels_BSSC: np.ndarray, look: Look) -> np.ndarray:
    """Return float32 (B, C, S, S) of uint8 pixels: in [0, 1], less the mean, by the deviation."""
    mean, std = (np.array(values, np.float32) for values in (look.mean, look.std))
    levels = (pixels_BSSC.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(levels.transpose(0, 3, 1, 2))


def _forward(network: Network, weights: Path, device: str) -> Forward:
    """Return the network as a function from float32 (B, C, S, S) to float (B, D)."""
    torch = _torch()
    torch.set_num_threads(1)  # the cores are Spark's to share out
    if network.family == "clip":
        module = import_module(CLIP_TOWER).image_tower(weights, network.tower).to(device)
    else:
        try:
            module = torch.jit.load(str(weights), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(
                f"{weights} is no TorchScript that this torch can load; export it by torch.jit.script or "
                f"torch.jit.trace, then torch.jit.save: {_first_line(error)}"
            ) from error

    def forward(pixels_BCSS: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            try:
                found = module(torch.from_numpy(pixels_BCSS).to(device))
            except RuntimeError as error:
                raise InputError(
                    f"{weights} fails on pictures {pixels_BCSS.shape}: {_first_line(error)}; a file "
                    f"{weights.name}.json beside it sets another side"
                ) from error
        return _checked(found, len(pixels_BCSS), weights)

    return forward


def _checked(found: Any, num: int, weights: Path) -> np.ndarray:
    """Return a network's output as an array. Raises InputError unless it is floats (num, D), D up to `MAX_DIMENSION`."""
    is_tensor = isinstance(found, _torch().Tensor)
    shape: tuple[int, ...] = tuple(found.shape) if is_tensor else ()
    held = len(shape) == 2 and shape[0] == num and 2 <= shape[1] <= MAX_DIMENSION
    if not held or not found.dtype.is_floating_point:
        what = f"{shape} of {found.dtype}" if is_tensor else f"a {type(found).__name__}"
        raise InputError(
            f"{weights} gives {what} for {num} pictures; floats ({num}, D) are wanted, D from 2 to {MAX_DIMENSION}"
        )
    vectors: np.ndarray = found.float().cpu().numpy()
    return vectors


def chosen_device(device: str) -> str:
    """Return `cpu` or `cuda:N`. Raises ConfigError where cuda is asked for and torch sees none."""
    present = _torch().cuda.is_available()
    if device.startswith("cuda") and not present:
        raise ConfigError(f"embed.device is {device!r}, but torch sees no CUDA device; say 'cpu' or 'auto'")
    if device == "cpu" or not present:
        return "cpu"
    return "cuda:0" if device in {"auto", "cuda"} else device


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def _torch() -> Any:
    """Import torch. Raises MissingExtraError where it is not installed."""
    try:
        return import_module("torch")
    except ModuleNotFoundError as error:
        raise missing_network() from error
