"""What happens to a saved picture on its way: encoded, sent, edited, and decoded again, until a network sees it."""

import zlib
from collections.abc import Collection, Iterable, Mapping
from io import BytesIO
from typing import Final, Literal

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional

from app.vision.image import Canvas, ImageLimits, Picture, Preprocessing
from app.vision.pixels import pixels_of
from app.vision.synthesis.resize import Region, ResizeOperator
from app.vision.threads import each

Group = Literal["file", "messenger", "edit"]
GROUPS: Final[Mapping[Group, tuple[str, ...]]] = {
    "file": ("png", "jpeg_q95", "jpeg_q90", "jpeg_q75", "half_size"),
    "messenger": ("messenger",),
    "edit": ("crop", "mirror", "turn", "margin"),
}
"""`messenger` is half the size, then JPEG 70; `crop` takes 5 % from each edge, `turn` is by 3°, `margin` adds 8 % of
white at each edge.
"""

_BIG: Final = 4_000_000
_CROP: Final = 0.05
_MARGIN: Final = -0.08
_TURN: Final = 3.0


def ways_of(groups: Collection[Group]) -> tuple[str, ...]:
    """The ways of these groups, and always those of `file`, in one order, whatever that of the groups."""
    return tuple(way for group, ways in GROUPS.items() if group in groups or group == "file" for way in ways)


def png_of(picture: Canvas, text: dict[str, str] | None = None) -> bytes:
    """Lossless; `text` is written into it for whoever wonders what the picture is."""
    notes = PngInfo()
    for keyword, value in (text or {}).items():
        notes.add_itxt(keyword, value)
    file = BytesIO()
    # Above some megapixels the usual compression takes seconds, and saves little; of the quick ones that of run lengths
    # is the quickest and smallest where each pixel is a little different.
    how = {"compress_level": 1, "compress_type": zlib.Z_RLE} if picture.size > 3 * _BIG else {}
    Image.fromarray(picture).save(file, "PNG", pnginfo=notes, **how)
    return file.getvalue()


class Passage:
    """One way of pictures `(H, W, 3)` to a network with this preprocessing; without one, they are its canvases.

    Forward by real encoders, backward by the adjoint of what moves pixels, straight through what rounds them. `region`
    are the rows and columns of the picture from which something reaches the canvas.
    """

    def __init__(self, way: str, picture: Canvas, preprocessing: Preprocessing | None, limits: ImageLimits) -> None:
        self.way = way
        self._preprocessing, self._limits = preprocessing, limits
        height, width = picture.shape[:2]
        share = {"crop": _CROP, "margin": _MARGIN}.get(way, 0.0)
        self._inset = round(share * height), round(share * width)
        self._resize = ResizeOperator(self._edges_moved(picture), preprocessing)
        rows, columns = (
            slice(max(0, part.start + inset), min(side, part.stop + inset))
            for part, inset, side in zip(self._resize.region, self._inset, (height, width), strict=True)
        )
        self.region: Region = rows, columns

    @property
    def density(self) -> float:
        """Values of the canvas for each of the picture."""
        return self._resize.density

    @property
    def geometry(self) -> tuple[str, int, int]:
        """How pixels move on this way: what comes back on all that have it in common may be added up on the canvas."""
        moved = self.way if self.way in {"mirror", "turn"} else "resized" if self._preprocessing else ""
        return (moved, *self._inset)

    def canvas(self, picture: Canvas) -> Canvas:
        """What the network gets to see, `(crop, crop, 3)`."""
        if self.way.startswith("jpeg_q"):
            return self._through_jpeg(Image.fromarray(picture), int(self.way.removeprefix("jpeg_q")))
        match self.way:
            case "half_size":
                return self._resize.canvas(np.array(_half(picture)))
            case "messenger":
                return self._through_jpeg(_half(picture), 70)
            case "mirror":
                return self._resize.canvas(np.ascontiguousarray(picture[:, ::-1]))
            case "turn":
                turned = Image.fromarray(picture).rotate(_TURN, Image.Resampling.BICUBIC, fillcolor="white")
                return self._resize.canvas(np.array(turned))
        return self._resize.canvas(self._edges_moved(picture))

    def add_pulled_back_(self, values: Tensor, gradient: Tensor, part: Region | None = None) -> None:
        """Add to values `(3, h, w)` of the region, or of a part of it, what comes back from the canvas `(3, crop,
        crop)`.

        The network sees the middle of the picture, so that the canvas of a mirrored or turned picture is the canvas,
        mirrored or turned.
        """
        if self.way == "mirror":
            gradient = gradient.flip(2)
        elif self.way == "turn":
            gradient = _turned_back(gradient)
        rows, columns = (
            slice(own.start - part.start - inset, own.stop - part.start - inset)
            for own, part, inset in zip(part or self.region, self._resize.region, self._inset, strict=True)
        )
        self._resize.add_pulled_back_(values, gradient, (rows, columns))

    def _edges_moved(self, picture: Canvas) -> Canvas:
        down, across = self._inset
        if down >= 0 and across >= 0:
            return picture[down : len(picture) - down, across : picture.shape[1] - across]
        return np.pad(picture, ((-down, -down), (-across, -across), (0, 0)), constant_values=255)

    def _through_jpeg(self, image: Image.Image, quality: int) -> Canvas:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        sent = Picture.read(file.getvalue(), self._limits, preprocessing=self._preprocessing)
        return self._resize.canvas(sent.pixels())


def canvases_through(passages: Iterable[Passage], picture: Canvas) -> Tensor:
    """What becomes of a picture on each way, floats `(n, 3, crop, crop)`, on the threads that are at hand."""
    return pixels_of(*each(lambda passage: passage.canvas(picture), list(passages)))


def _half(picture: Canvas) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def _turned_back(gradient: Tensor) -> Tensor:
    angle = torch.deg2rad(torch.tensor(_TURN))
    cosine, sine = float(angle.cos()), float(angle.sin())
    grid = functional.affine_grid(
        torch.tensor([[[cosine, sine, 0.0], [-sine, cosine, 0.0]]]), [1, *gradient.shape], align_corners=False
    )
    return functional.grid_sample(gradient[None], grid, align_corners=False)[0]
