"""Pictures that tests draw: different for each number, with edges and colours, and as the bytes of a file."""

import io

from PIL import Image, ImageDraw


def drawing(seed: int = 0, size: tuple[int, int] = (240, 180)) -> Image.Image:
    image = Image.new("RGB", size, (250, 250, 245))
    draw = ImageDraw.Draw(image)
    for i in range(7):
        x, y = (37 * (i + seed) * (seed + 3) + 20 * i) % 170 + 10, (53 * (i + 1) * (seed + 1)) % 110 + 10
        colour = ((90 * i + 60 * seed) % 256, (70 * i) % 256, (200 - 40 * i) % 256)
        (draw.ellipse if i % 2 else draw.rectangle)((x, y, x + 25 + 5 * i, y + 45 - 3 * i), fill=colour)
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
