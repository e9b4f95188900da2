"""Perceptual colour maps: equal steps of a value look like equal steps of colour, also in grey and to the colour-blind.

A rainbow would draw edges where the values have none.
"""

from functools import cache
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Colormap = Literal["viridis", "magma", "inferno", "plasma", "cividis", "grey"]
COLORMAPS: Final[tuple[Colormap, ...]] = get_args(Colormap)
# 33 colours at equal distances, between which the others lie to within 5 of 255 levels. The maps are van der Walt's
# and Smith's for matplotlib (CC0), and Nuñez's, Anderton's and Renslow's for cividis (CC0).
_ANCHORS: Final = {
    "viridis": (
        "440154 470d60 48186a 482374 472d7b 453681 424086 3f4989 3b528b 375a8d 33638d "
        "2f6a8e 2c728e 297a8e 26818e 23898e 21908c 1f988b 1f9f88 21a685 28ae80 31b57b "
        "3ebc74 4cc26c 5dc963 6ece58 82d34c 96d83f abdc32 c0df24 d5e21a eae51a fde725"
    ),
    "magma": (
        "000004 030311 0a0822 130d33 1d1146 28115a 36106a 430f76 50127c 5d177f 691c81 "
        "762181 822681 8f2a81 9c2e7f a9327d b63779 c33b75 cf4170 db486a e65163 ee5c5e "
        "f5695c f9785d fb8761 fd9668 fea571 feb47b fec387 fed194 fde0a2 fceeb0 fcfdbf"
    ),
    "inferno": (
        "000004 040312 0b0724 150b37 210c4a 2e0a5a 3c0965 4a0c6b 57106d 63146e 70196e "
        "7d1e6d 89226a 962766 a32b61 af315c bb3755 c63e4d d14644 db4f3b e35932 eb6528 "
        "f1711e f67f14 f98d0a fb9c06 fcab0f fbba1f f9ca32 f5d949 f2e865 f3f586 fcffa4"
    ),
    "plasma": (
        "0d0887 220690 310596 3f049c 4c02a1 5901a5 6600a7 7201a8 7e03a8 8909a6 9511a2 "
        "9f1a9c a92396 b22c8e bb3587 c33e80 cb4778 d25071 d9596a e06263 e66c5c eb7555 "
        "f07f4f f48a48 f89441 fb9f3a fdab33 feb72d fdc328 fcd025 f9dd25 f5eb27 f0f921"
    ),
    "cividis": (
        "00224e 00285b 002e6a 043371 1a386f 273e6e 32436d 3b496c 434e6c 4b546c 52596d "
        "5a5f6e 61656f 686a71 6f7073 757676 7c7b78 848179 8b8778 938d78 9b9376 a39a75 "
        "aba072 b3a670 bbad6c c3b469 ccba64 d4c15f ddc958 e6d051 efd748 f8df3c fee838"
    ),
    "grey": "000000 ffffff",
}


@cache
def colours(name: Colormap) -> NDArray[np.uint8]:
    """The 256 colours of a map, `(256, 3)`, for the values from low to high."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in _ANCHORS[name].split()], float)
    places, steps = np.linspace(0, 1, len(anchors)), np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, places, anchors[:, channel]) for channel in range(3)], 1)
    found: NDArray[np.uint8] = np.rint(table).astype(np.uint8)
    return found


def coloured(levels: Image.Image, name: Colormap) -> Image.Image:
    """Grey levels as the colours that stand for them."""
    image = levels.copy()
    image.putpalette(colours(name).tobytes())
    return image.convert("RGB")
