"""The size that the pictures of an AVIF file really have, as their AV1 says, before anything is decoded.

What the boxes say (`ispe`) need not be true: libavif decodes a picture as large as its sequence header has it, up to
268 megapixels, and scales it down. A file of a kilobyte that calls itself 64×64 takes hundreds of megabytes so.
"""

from collections.abc import Iterator
from typing import Final

_SEQUENCE_HEADER: Final = 1
Part = tuple[int, int, int]
"""Where some of an item lies: 0 for the file or 1 for the box `idat`, from where, and how many bytes (0: all)."""


class Av1Error(ValueError):
    """The boxes, or the AV1 in them, cannot be read."""


def coded_sizes(data: bytes) -> list[tuple[int, int]]:
    """Widths and heights of all pictures in an AVIF file: what is shown or its tiles, its transparency, its thumbnails.

    Raises `Av1Error`, also if there is none.
    """
    try:
        boxes = dict(_boxes(next(box for name, box in _boxes(data) if name == b"meta")[4:]))
        pictures = _pictures(boxes[b"iinf"])
        sources = (data, boxes.get(b"idat", b""))
        sizes = [
            size
            for item, parts in _places(boxes[b"iloc"])
            if item in pictures
            for size in _sizes(b"".join(_part(sources[part[0]], part) for part in parts))
        ]
    except (StopIteration, LookupError, ValueError) as error:
        raise Av1Error("It does not say how large its pictures are.") from error
    if not sizes:
        raise Av1Error("There is no picture in it.")
    return sizes


def as_picture(data: bytes) -> bytes:
    """A file that shows its picture: of a film, the samples of which say their sizes elsewhere, the one that stands
    for it.
    """
    return data[:8] + b"avif" + data[12:] if data[8:12] == b"avis" else data


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents, of the file or of a box."""
    place = 0
    while place + 8 <= len(data):
        size, head = int.from_bytes(data[place : place + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        size = size or len(data) - place
        if size < head:
            raise ValueError("A box is smaller than its head.")
        yield data[place + 4 : place + 8], data[place + head : place + size]
        place += size


def _pictures(iinf: bytes) -> set[int]:
    """The numbers of the items that are AV1."""
    found = set()
    for name, infe in _boxes(iinf[8 if iinf[0] else 6 :]):
        wide = 4 if infe[0] >= 3 else 2
        if name == b"infe" and infe[6 + wide : 10 + wide] == b"av01":
            found.add(int.from_bytes(infe[4 : 4 + wide], "big"))
    return found


def _places(iloc: bytes) -> Iterator[tuple[int, list[Part]]]:
    """Each item's number, and where its parts lie."""
    version, fields = iloc[0], _Bits(iloc[4:])
    lengths = [8 * fields.take(4) for _ in range(4)]
    offset, length, base, index = lengths if version else [*lengths[:3], 0]
    for _ in range(fields.take(32 if version == 2 else 16)):
        item = fields.take(32 if version == 2 else 16)
        source = fields.take(16) & 15 if version else 0
        fields.take(16)
        start = fields.take(base)
        parts = []
        for _ in range(fields.take(16)):
            fields.take(index)
            parts.append((source, start + fields.take(offset), fields.take(length)))
        yield item, parts


def _part(source: bytes, part: Part) -> bytes:
    _, start, length = part
    return source[start : start + length] if length else source[start:]


def _sizes(obus: bytes) -> Iterator[tuple[int, int]]:
    """Of all sequence headers."""
    place = 0
    while place < len(obus):
        head, place = obus[place], place + (2 if obus[place] & 4 else 1)
        size = len(obus) - place
        if head & 2:
            size = 0
            for number in range(8):
                byte, place = obus[place], place + 1
                size |= (byte & 127) << 7 * number
                if byte < 128:
                    break
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _size(_Bits(obus[place : place + size]))
        place += size


def _size(bits: "_Bits") -> tuple[int, int]:
    """Of the largest frame that may follow. A frame may have a size of its own, of as many bits as the header sets
    aside: where these are more than the header's size needs, they count.
    """
    bits.take(4)
    is_reduced = bits.take(1)
    if is_reduced:
        bits.take(5)
    else:
        _skip_operating_points(bits)
    widths = [bits.take(4) + 1, bits.take(4) + 1]
    width, height = (bits.take(number) + 1 for number in widths)
    if is_reduced or widths == [(width - 1).bit_length() or 1, (height - 1).bit_length() or 1]:
        return width, height
    return 1 << widths[0], 1 << widths[1]


def _skip_operating_points(bits: "_Bits") -> None:
    delay_length = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            zeros = 0
            while not bits.take(1):
                zeros += 1
            bits.take(zeros)
        if bits.take(1):  # the decoder's model
            delay_length = bits.take(5) + 1
            bits.take(42)
    has_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_length and bits.take(1):
            bits.take(2 * delay_length + 1)
        if has_delay and bits.take(1):
            bits.take(4)


class _Bits:
    """Read from the first to the last. Raises `ValueError` behind the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, number: int) -> int:
        first, self._place = self._place, self._place + number
        if self._place > 8 * len(self._data):
            raise ValueError("It ends too early.")
        found = int.from_bytes(self._data[first // 8 : -(-self._place // 8)], "big")
        return found >> -self._place % 8 & (1 << number) - 1
