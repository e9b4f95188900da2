from PIL import Image, ImageChops

from app.vision.drawing.gallery import draw_gallery
from app.vision.drawing.lettering import PAPER


def ink_in(sheet: Image.Image, box: tuple[int, int, int, int]) -> bool:
    part = sheet.crop(box)
    return ImageChops.difference(part, Image.new("RGB", part.size, PAPER)).getbbox() is not None


def test_every_picture_shows_its_centre_over_its_lines() -> None:
    wide = Image.new("RGB", (300, 100), "green")
    wide.paste("red", (0, 0, 100, 100))
    wide.paste("red", (200, 0, 300, 100))
    sheet = draw_gallery([[(wide, ["kedi", "%98,3"]), (Image.new("L", (5, 5), 7), [])], [(wide, ["köpek"])]], width=100)
    assert sheet.width == 3 * 12 + 2 * 100
    colours = sheet.crop((12, 12, 112, 112)).getcolors()
    assert colours == [(10_000, (0, 128, 0))]
    assert sheet.getpixel((130, 20)) == (7, 7, 7)
    assert ink_in(sheet, (12, 116, 112, 134))
    assert ink_in(sheet, (12, 135, 112, 153))
    assert not ink_in(sheet, (124, 113, 224, 153))
    assert not ink_in(sheet, (124, 156, 224, sheet.height))


def test_a_long_line_stays_below_its_own_picture() -> None:
    picture = Image.new("RGB", (9, 9))
    sheet = draw_gallery([[(picture, ["a very long name " * 9]), (picture, [])]], width=100)
    assert ink_in(sheet, (12, 113, 112, 140))
    assert not ink_in(sheet, (112, 113, sheet.width, sheet.height))


def test_nothing_is_an_empty_sheet() -> None:
    assert draw_gallery([]).size == (12, 12)


def test_pictures_may_be_of_another_shape_than_a_square() -> None:
    wide = Image.new("RGB", (300, 100), "green")
    sheet = draw_gallery([[(wide, ["kedi"]), (wide, [])]], width=90, height=30)
    assert sheet.size == (12 + 2 * 102, 12 + 30 + 19 + 6 + 12)
    assert sheet.crop((12, 12, 102, 42)).getcolors() == [(2700, (0, 128, 0))]
