import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, features

from app.vision.drawing import overlay
from app.vision.drawing.brightness import brightness
from app.vision.drawing.captions import place
from app.vision.drawing.colormaps import COLORMAPS, Colormap, colours
from app.vision.drawing.lettering import fitted, length, write
from app.vision.drawing.numbers import number, percent, signed
from app.vision.drawing.overlay import OverlayStyle, Scale, draw_heat_map, draw_overlay, with_caption
from app.vision.drawing.sheet import Look, draw_sheet, tile
from app.vision.encoding import UnencodableError, encoded
from app.vision.inspection.feature_maps import Channels, ChannelsError, FeatureMaps
from app.vision.inspection.focus import Region, focus_of
from app.vision.networks.layers import Layer

WHOLE = Region(0, 0, 1, 1)


def lightness_of(colour: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness: np.ndarray = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    return lightness


@pytest.mark.parametrize("name", COLORMAPS)
def test_every_colour_map_gets_lighter_step_by_step(name: Colormap) -> None:
    light = lightness_of(colours(name) / 255)
    assert light[-1] - light[0] > 50
    assert (np.diff(light) > -0.5).all()


def test_the_colours_are_matplotlibs() -> None:
    """From its table: viridis at 0, 1/3 and 1, inferno at a half."""
    assert colours("viridis")[[0, 85, 255]].tolist() == pytest.approx(
        np.array([[68, 1, 84], [49, 104, 142], [253, 231, 37]]), abs=2
    )
    assert colours("inferno")[128].tolist() == pytest.approx([188, 55, 84], abs=2)


@pytest.mark.parametrize("letters", ["ğüşıöçĞÜŞİÖÇ", "−×·…“”≤≥%", "café ñ ß"])
def test_the_font_has_the_letters_of_both_languages(letters: str) -> None:
    def drawn(letter: str) -> bytes:
        image = Image.new("L", (40, 40))
        write(ImageDraw.Draw(image), (4, 4), letter, 24, "white")
        return image.tobytes()

    assert features.check("freetype2")
    shown = [drawn(letter) for letter in letters if letter != " "]
    assert drawn("\uffff") not in shown  # the box that stands for a letter that is not there
    assert len(set(shown)) == len(shown)


def test_text_gets_smaller_and_then_shorter_until_it_fits() -> None:
    assert fitted("short", 300, 20) == ("short", 20)
    text, size = fitted("a longer line of text", 160, 20)
    assert (text, size < 20) == ("a longer line of text", True)
    text, size = fitted("a line that will never fit " * 4, 160, 20)
    assert text.endswith("…")
    assert length(text, size) <= 160


def test_numbers_are_written_as_the_language_has_it() -> None:
    assert [number(value, "en") for value in (0, 0.5234, -12.345, 604.7, 1234.5, 2e-5)] == [
        "0", "0.523", "−12.3", "605", "1234", "2.0e−05",
    ]  # fmt: skip
    assert number(-12.345, "tr") == "−12,3"
    assert (percent(0.372, "en"), percent(0.372, "tr")) == ("37.2%", "%37,2")
    assert (signed(-0.001, "en"), signed(-0.5, "tr"), signed(0.444, "en")) == ("+0.00", "−0,50", "+0.44")


def test_a_tile_shows_each_neuron_as_a_square() -> None:
    values = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    pixels = np.asarray(tile(values, (0, 3), "grey", 32)).astype(int)
    assert pixels.shape == (32, 32, 3)
    for row, column, level in ((0, 0, 0), (0, 1, 85), (1, 0, 170), (1, 1, 255)):
        assert (pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] == level).all()


def test_brightness_of_a_flat_map_is_zero_and_finite() -> None:
    assert not brightness(torch.full((3, 3), 7.0), 7.0, 7.0).any()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("top:2", [2, 0]),
        ("strongest:3", [1, 2, 0]),
        ("3,0-1,1", [3, 0, 1]),
        (" 2 , 1 ", [2, 1]),
        ("top:64", [2, 0, 3, 1]),
    ],
)
def test_channels_are_chosen_by_order_or_index(text: str, shown: list[int]) -> None:
    activations = torch.tensor([1.0, -9.0, 2.0, 0.5]).view(4, 1, 1).expand(4, 3, 3)
    contributions = torch.tensor([0.5, -2.0, 1.0, 0.0])
    assert Channels.parse(text).of(activations, contributions) == shown


@pytest.mark.parametrize(
    "text", ["", "top", "top:0", "top:65", "0-64", "5-2", "-3", "1,,2", "1.5", "٣", "9" * 300, "top:-1"]
)
def test_other_choices_of_channels_are_refused(text: str) -> None:
    with pytest.raises(ChannelsError):
        Channels.parse(text)


def test_channels_that_a_layer_does_not_have_are_refused() -> None:
    Channels.parse("0,7").check(Layer("a", (8, 2, 2), 0, suggested=True))
    with pytest.raises(ChannelsError, match="0 to 7, not 8"):
        Channels.parse("7-8").check(Layer("a", (8, 2, 2), 0, suggested=True))


@pytest.mark.parametrize("normalize", ["channel", "layer"])
@pytest.mark.parametrize(("channels", "size"), [(1, 32), (64, 32), (9, 256), (5, 72)])
def test_sheets_of_every_size_hold_all_tiles(normalize: str, channels: int, size: int) -> None:
    activations = torch.rand(64, 7, 7) + torch.arange(64).view(-1, 1, 1)
    maps = FeatureMaps(
        Layer("layer", (64, 7, 7), 4, suggested=True), 3, activations, torch.randn(64), list(range(channels))
    )
    look = Look("channel" if normalize == "channel" else "layer", "viridis", size, "tr")
    sheet = draw_sheet(np.zeros((224, 224, 3), np.uint8), ("bir", "iki", "üç"), [maps], look)
    background = np.asarray(sheet).min(2) == 255
    assert background[:, -1].all()  # nothing is cut off at the right
    assert background[-1].all()
    assert (~background).sum() >= channels * size**2 * 0.95


def test_an_overlay_is_hot_where_the_map_is_and_leaves_cold_places_as_they_are() -> None:
    photo = Image.new("RGB", (200, 100), (10, 120, 200))
    heat = torch.zeros(4, 4)
    heat[0, 3] = 1
    overlaid = np.asarray(
        draw_overlay(photo, heat, (60, 10, 140, 90), OverlayStyle("inferno", 1, smooth=False))
    ).astype(int)
    assert overlaid.shape == (100, 200, 3)
    assert abs(overlaid[15, 135] - np.array([252, 255, 164])).max() <= 2  # the hottest colour at the upper right
    assert (overlaid[50, 80] == (10, 120, 200)).all()
    outside = overlaid[:, :50]
    assert (outside.max(2) - outside.min(2)).max() < 12  # grey
    bare = np.asarray(draw_heat_map((200, 100), heat, (60, 10, 140, 90), OverlayStyle("inferno", smooth=False)))
    assert (bare[15, 135] == overlaid[15, 135]).all()
    assert (bare[50, 80] == colours("inferno")[0]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 2)])
def test_the_smallest_pictures_can_be_laid_over(size: tuple[int, int]) -> None:
    width, height = size
    side = min(size) * 0.875
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    assert draw_overlay(Image.new("RGB", size), torch.ones(7, 7), box, OverlayStyle("inferno")).size == size


def test_a_photo_of_several_bands_is_drawn_over_as_one_of_a_single_band(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    heat = torch.rand(7, 7, generator=torch.Generator().manual_seed(0))
    for style in (OverlayStyle("viridis"), OverlayStyle("magma", 0.3, smooth=False)):
        drawn = [draw_overlay(Image.fromarray(noise), heat, (13.4, 5.5, 100, 81), style)]
        monkeypatch.setattr(overlay, "_BAND", 7)
        drawn.append(draw_overlay(Image.fromarray(noise), heat, (13.4, 5.5, 100, 81), style))
        monkeypatch.undo()
        assert drawn[0].tobytes() == drawn[1].tobytes()


def test_a_caption_tells_its_words_and_keeps_the_picture() -> None:
    picture = Image.new("RGB", (400, 200), "red")
    strip = with_caption(picture, ("first", "second"), Scale("viridis", "evidence", "none", "most"))
    assert strip.crop((0, 0, 400, 200)).getcolors() == [(80000, (255, 0, 0))]
    assert len(strip.crop((0, 200, 400, strip.height)).getcolors(100000) or []) > 100  # the scale has many colours


def test_a_caption_without_evidence_is_a_whole_sentence_in_place_of_the_colours() -> None:
    picture, sentence = Image.new("RGB", (60, 60), "red"), "no evidence for this class in what the network saw"
    strip = with_caption(picture, ("first", "second"), sentence)
    assert strip.width >= length(sentence, 11)
    words = np.asarray(strip.crop((0, 60, *strip.size)), int)
    assert np.ptp(words, axis=2).max() < 20  # ink on paper
    assert with_caption(picture, ("first", "second"), sentence, "hatched").height > strip.height


def test_the_focus_is_the_part_that_hangs_together_with_the_hottest_point() -> None:
    heat = torch.zeros(14, 14)
    heat[1:4, 1:4] = 0.7
    heat[2, 2] = 1
    heat[10:12, 10:12] = 0.6  # hot as well, and somewhere else
    focus = focus_of(heat, Region(0.2, 0.1, 0.5, 0.8))
    assert focus is not None
    assert focus.x == pytest.approx(0.2 + 2.5 / 14 * 0.5, abs=0.01)
    assert focus.y == pytest.approx(0.1 + 2.5 / 14 * 0.8, abs=0.01)
    assert focus.box.x == pytest.approx(0.2 + 1 / 14 * 0.5, abs=0.02)
    assert focus.box.width == pytest.approx(3 / 14 * 0.5, abs=0.02)
    assert focus.box.height == pytest.approx(3 / 14 * 0.8, abs=0.02)
    assert focus_of(torch.zeros(7, 7), WHOLE) is None


@pytest.mark.parametrize(
    ("x", "y", "words"), [(0.1, 0.1, "upper left"), (0.5, 0.5, "centre"), (1, 1, "lower right"), (0.5, 0.9, "bottom")]
)
def test_places_have_names(x: float, y: float, words: str) -> None:
    assert place(x, y, "en") == words


@pytest.mark.parametrize("is_drawn", [True, False])
def test_files_hold_the_very_pixels(is_drawn: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    for encoding in ("PNG", "WEBP"):
        file = encoded(Image.fromarray(pixels), "PNG" if encoding == "PNG" else "WEBP", is_drawn=is_drawn)
        with Image.open(io.BytesIO(file)) as image:
            assert image.format == encoding
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)


def test_a_webp_cannot_be_longer_than_it_can() -> None:
    with pytest.raises(UnencodableError, match="16383"):
        encoded(Image.new("RGB", (16384, 1)), "WEBP")
