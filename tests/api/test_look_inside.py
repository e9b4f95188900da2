import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image, ImageChops
from safetensors.torch import save_file

from app.main import create_app
from app.settings import Settings
from app.vision.image import ImageLimits, Picture
from app.vision.models.repository import ModelRepository
from app.vision.networks.backbones import BACKBONES
from app.vision.pixels import to_pixels
from tests.support.paths import ROOT
from tests.support.pictures import png, shape
from tests.support.service import wait_until_ready

pytestmark = pytest.mark.slow

JSON = {"Accept": "application/json"}
MAPS, EXPLANATIONS = "/v1/feature-maps", "/v1/explanations"


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def numbers(client: TestClient, path: str, picture: bytes) -> dict[str, Any]:
    answer = client.post(path, content=picture, headers=JSON)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_grid_of_all_stages_comes_as_png_by_default_and_as_lossless_webp(client: TestClient, cat: bytes) -> None:
    answer = client.post(f"{MAPS}?lang=en", content=cat)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert "Accept" in answer.headers["Vary"]
    assert "inference;dur=" in answer.headers["Server-Timing"]
    sheet = opened(answer.content)
    assert sheet.width >= 8 * 112
    assert sheet.height >= 5 * 112
    webp = client.post(f"{MAPS}?lang=en", content=cat, headers={"Accept": "image/webp"})
    assert webp.headers["content-type"] == "image/webp"
    assert ImageChops.difference(opened(webp.content).convert("RGB"), sheet.convert("RGB")).getbbox() is None


def test_numbers_are_those_of_the_array_and_the_array_that_of_a_plain_network(client: TestClient, cat: bytes) -> None:
    path = f"{MAPS}?model=imagenet&layer=_blocks.10"
    answer = client.post(path, content=cat, headers={"Accept": "application/x-npy"})
    assert answer.headers["content-type"] == "application/x-npy"
    array = np.load(io.BytesIO(answer.content))
    assert array.dtype == np.float32
    assert array.shape == (112, 14, 14)
    classifier = ModelRepository([ROOT / "models"], weights_dir=None, device=torch.device("cpu")).load("imagenet")
    canvas = Picture.read(cat, ImageLimits(), preprocessing=classifier.backbone.preprocessing).canvas(
        classifier.backbone.preprocessing
    )
    seen: list[torch.Tensor] = []
    module = classifier.backbone.network.get_submodule("_blocks.10")
    module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode():
        classifier.logits(to_pixels(canvas[None], torch.device("cpu")))
    np.testing.assert_allclose(array, seen[0][0].numpy(), atol=1e-4)
    body = numbers(client, f"{path}&channels=3,90-92", cat)
    assert (body["layer"], body["shape"], body["stage"]) == ("_blocks.10", [112, 14, 14], 3)
    layers = client.get("/v1/models/imagenet/layers").json()["data"]
    assert layers[body["index"]]["name"] == "_blocks.10"
    assert [one["channel"] for one in body["channels"]] == [3, 90, 91, 92]
    for one in body["channels"]:
        values = array[one["channel"]]
        assert one["mean"] == pytest.approx(float(values.mean()), abs=1e-4)
        assert one["max"] == pytest.approx(float(values.max()), abs=1e-4)
        assert one["active_fraction"] == pytest.approx(float((values > 0).mean()))
    some = client.post(f"{path}&channels=3,90-92&format=npy", content=cat)
    np.testing.assert_array_equal(np.load(io.BytesIO(some.content)), array[[3, 90, 91, 92]])


def test_without_a_layer_json_is_a_list_of_the_stages_and_the_array_is_the_last_one(
    client: TestClient, cat: bytes
) -> None:
    body = numbers(client, MAPS, cat)
    assert body["object"] == "list"
    suggested = [one for one in client.get("/v1/models/imagenet/layers").json()["data"] if one["suggested"]]
    assert [one["layer"] for one in body["data"]] == [one["name"] for one in suggested]
    assert all(len(one["channels"]) == 8 for one in body["data"])
    array = np.load(io.BytesIO(client.post(f"{MAPS}?format=npy", content=cat).content))
    assert list(array.shape) == suggested[-1]["shape"]


def test_the_target_chooses_whose_contributions_order_the_channels(client: TestClient, cat: bytes) -> None:
    def channels(query: str) -> list[dict[str, float]]:
        found: list[dict[str, float]] = numbers(client, f"{MAPS}?layer=_blocks.15{query}", cat)["channels"]
        return found

    default, school_bus = channels(""), channels("&target=school%20bus")
    assert len(default) == 16
    for one in (default, school_bus):
        contributions = [channel["contribution"] for channel in one]
        assert contributions == sorted(contributions, reverse=True)
    assert {one["channel"] for one in default} != {one["channel"] for one in school_bus}
    assert channels("&target=779") == school_bus
    strongest = channels("&channels=strongest:5")
    assert len(strongest) == 5
    assert {one["channel"] for one in strongest} != {one["channel"] for one in default[:5]}


def test_an_overlay_has_the_size_of_the_upright_picture_and_covers_what_was_seen(
    client: TestClient, cat: bytes
) -> None:
    lying = opened(cat).resize((300, 200)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    file = io.BytesIO()
    lying.save(file, "PNG", exif=exif)
    upright = lying.transpose(Image.Transpose.ROTATE_270).convert("RGB")
    for path in (f"{MAPS}?overlay=true&layer=_blocks.15", EXPLANATIONS, f"{EXPLANATIONS}?view=heat_map"):
        assert opened(client.post(path, content=file.getvalue()).content).size == (300, 200)
    plain = opened(client.post(f"{EXPLANATIONS}?opacity=0", content=file.getvalue()).content)
    seen = numbers(client, EXPLANATIONS, file.getvalue())["image"]["seen"]
    assert list(seen.values()) == pytest.approx([62.5 / 300, 0.0625, 175 / 300, 0.875], abs=1e-4)
    inside = (64, 14, 236, 186)
    assert ImageChops.difference(plain.crop(inside), upright.crop(inside)).getbbox() is None
    outside = np.asarray(ImageChops.difference(plain.crop((0, 0, 60, 200)), upright.crop((0, 0, 60, 200))))
    assert (outside.max(2) > 8).mean() > 0.8


@pytest.mark.parametrize("method", ["grad_cam", "integrated_gradients", "occlusion"])
def test_every_method_explains_in_numbers_and_words(client: TestClient, dog: bytes, method: str) -> None:
    body = numbers(client, f"{EXPLANATIONS}?method={method}&lang=tr", dog)
    assert body["method"] == method
    assert body["layer"] == ("_blocks.15" if method == "grad_cam" else None)
    assert body["target"]["label"] == "basenji"
    assert body["target"]["score"] > 0.5
    heat = np.array(body["heat_map"])
    assert heat.min() >= 0
    assert heat.max() == 1
    focus, hottest = body["focus"], body["hottest"]
    assert 0 <= focus["x"] <= hottest["x"] <= focus["x"] + focus["width"] <= 1
    assert 0 <= focus["y"] <= hottest["y"] <= focus["y"] + focus["height"] <= 1
    assert body["focus_text"] in {"sol üst", "üst", "sağ üst", "sol", "orta", "sağ", "sol alt", "alt", "sağ alt"}
    if method == "integrated_gradients":
        assert body["completeness_error"] <= 0.02
    else:
        assert body["completeness_error"] is None


def test_the_focus_moves_with_the_animal(client: TestClient, dog: bytes, cat: bytes) -> None:
    square = Image.new("RGB", (600, 300))
    for left, photo in ((0, dog), (300, cat)):
        image = opened(photo).convert("RGB")
        side = min(image.size)
        x, y = (image.width - side) // 2, (image.height - side) // 2
        square.paste(image.crop((x, y, x + side, y + side)).resize((300, 300)), (left, 0))
    canvas = Image.new("RGB", (600, 600))
    canvas.paste(square, (0, 150))
    file = io.BytesIO()
    canvas.save(file, "PNG")
    at_dog = numbers(client, f"{EXPLANATIONS}?target=basenji", file.getvalue())
    at_cat = numbers(client, f"{EXPLANATIONS}?target=tabby", file.getvalue())
    assert at_dog["hottest"]["x"] < 0.5 < at_cat["hottest"]["x"]
    assert at_dog["target"]["label"] == "basenji"
    assert at_cat["focus_text"] != at_dog["focus_text"]


def test_a_picture_of_no_class_is_unknown_in_numbers_too(client: TestClient, dog: bytes) -> None:
    for path in (f"{MAPS}?layer=_blocks.15&channels=0", f"{EXPLANATIONS}?"):
        strange = numbers(client, f"{path}&model=cats-vs-dogs", shape("red", 0))
        assert strange["unknown"]["is_unknown"]
        assert not numbers(client, f"{path}&model=cats-vs-dogs", dog)["unknown"]["is_unknown"]
        assert numbers(client, path, dog)["unknown"] is None


def test_a_caption_is_a_strip_below_the_picture(client: TestClient, cat: bytes) -> None:
    bare = opened(client.post(EXPLANATIONS, content=cat).content)
    with_caption = opened(client.post(f"{EXPLANATIONS}?caption=true", content=cat).content)
    assert with_caption.width == bare.width
    assert with_caption.height > bare.height
    assert ImageChops.difference(with_caption.crop((0, 0, *bare.size)), bare).getbbox() is None


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/avif, image/webp, */*;q=0.8", "image/webp"),
        ("application/json, */*;q=0.1", "application/json"),
        ("image/png;q=0.2, application/*;q=0.5", "application/json"),
        ("image/png;q=0, */*", "image/webp"),
    ],
)
def test_the_form_is_what_the_client_likes_best(client: TestClient, dog: bytes, accept: str, media: str) -> None:
    answer = client.post(EXPLANATIONS, content=dog, headers={"Accept": accept})
    assert answer.headers["content-type"] == media
    overridden = client.post(f"{EXPLANATIONS}?format=json", content=dog, headers={"Accept": accept})
    assert overridden.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", [MAPS, EXPLANATIONS])
def test_forms_that_there_are_not_are_refused(client: TestClient, dog: bytes, path: str) -> None:
    answer = client.post(path, content=dog, headers={"Accept": "image/jpeg, text/html"})
    assert answer.status_code == 406
    assert answer.json()["type"] == "/problems/not-acceptable"
    assert "image/png" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        (f"{MAPS}?channels=bad", "channels"),
        (f"{MAPS}?channels=top:0", "channels"),
        (f"{MAPS}?channels=top:65", "channels"),
        (f"{MAPS}?channels=0-64", "channels"),
        (f"{MAPS}?channels=9-3", "channels"),
        (f"{MAPS}?channels=-1", "channels"),
        (f"{MAPS}?channels=", "channels"),
        (f"{MAPS}?channels=16", "channels"),  # the first stage has the channels 0 to 15
        (f"{MAPS}?layer=_blocks.15&channels=0,320", "channels"),
        (f"{MAPS}?tile=31", "tile"),
        (f"{MAPS}?tile=257", "tile"),
        (f"{MAPS}?opacity=nan&overlay=true", "opacity"),
        (f"{MAPS}?colormap=jet", "colormap"),
        (f"{MAPS}?normalize=all", "normalize"),
        (f"{MAPS}?format=jpeg", "format"),
        (f"{MAPS}?chanels=0", "chanels"),
        (f"{EXPLANATIONS}?opacity=nan", "opacity"),
        (f"{EXPLANATIONS}?opacity=1.01", "opacity"),
        (f"{EXPLANATIONS}?method=lime", "method"),
        (f"{EXPLANATIONS}?format=npy", "format"),
        (f"{EXPLANATIONS}?method=occlusion&layer=_blocks.15", "layer"),
    ],
)
def test_a_choice_that_cannot_be_is_pointed_at(client: TestClient, dog: bytes, query: str, pointer: str) -> None:
    answer = client.post(query, content=dog)
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/validation-error"
    assert answer.json()["errors"][0]["pointer"] == f"/query/{pointer}"


@pytest.mark.parametrize("path", [MAPS, EXPLANATIONS])
def test_wrong_names_suggest_the_nearest(client: TestClient, dog: bytes, path: str) -> None:
    layer = client.post(f"{path}?layer=_block.15", content=dog)
    assert (layer.status_code, layer.json()["type"]) == (404, "/problems/unknown-layer")
    assert "_blocks.15" in layer.json()["suggestions"]
    assert client.post(f"{path}?layer=_fc", content=dog).status_code == 404
    label = client.post(f"{path}?target=basenj", content=dog)
    assert (label.status_code, label.json()["type"]) == (422, "/problems/unknown-label")
    assert "basenji" in label.json()["suggestions"]
    assert client.post(f"{path}?target=1000", content=dog).json()["type"] == "/problems/unknown-label"
    assert client.post(f"{path}?target=", content=dog).json()["type"] == "/problems/unknown-label"
    assert client.post(f"{path}?model=imagnet", content=dog).json()["type"] == "/problems/unknown-model"


@pytest.mark.parametrize("path", [MAPS, EXPLANATIONS])
def test_what_is_no_picture_is_a_problem(client: TestClient, path: str) -> None:
    assert client.post(path, content=b"plain text").status_code == 415
    assert client.post(path, content=png()[:40]).status_code == 422
    assert client.post(path, content=b"").status_code == 400
    assert client.post(path, content=png(6000, 5000)).status_code == 413
    two = client.post(path, files=[("file", ("a", png())), ("file", ("b", png()))])
    assert (two.status_code, two.json()["type"]) == (400, "/problems/malformed-request")


@pytest.mark.parametrize("size", [(1, 1), (2, 400), (400, 2), (20, 4000), (17000, 30)])
def test_pictures_of_odd_shapes_are_drawn_at_their_size(client: TestClient, size: tuple[int, int]) -> None:
    picture = png(*size, "orange")
    for path in (EXPLANATIONS, f"{EXPLANATIONS}?view=heat_map", f"{MAPS}?overlay=true"):
        answer = client.post(path, content=picture)
        assert answer.status_code == 200, answer.text
        assert opened(answer.content).size == size
    assert client.post(f"{MAPS}?layer=_blocks.15&tile=32&channels=0", content=picture).status_code == 200


def test_a_picture_too_long_for_webp_is_told_so(client: TestClient) -> None:
    answer = client.post(f"{EXPLANATIONS}?format=webp", content=png(17000, 30))
    assert answer.status_code == 406
    assert "16383" in answer.json()["detail"]


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "LA", "I;16", "1"])
def test_pictures_of_every_mode_are_explained(client: TestClient, dog: bytes, mode: str) -> None:
    image = opened(dog)
    converted = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
    file = io.BytesIO()
    converted.save(file, "PNG")
    for path in (MAPS, EXPLANATIONS):
        assert client.post(path, content=file.getvalue()).status_code == 200


def test_trained_heads_are_looked_into_by_their_own_classes(client: TestClient, dog: bytes, cat: bytes) -> None:
    body = numbers(client, f"{EXPLANATIONS}?model=cats-vs-dogs", dog)
    assert body["target"]["label"] == "dog"
    against = numbers(client, f"{EXPLANATIONS}?model=cats-vs-dogs&target=cat", dog)
    assert against["target"]["score"] < 0.5
    assert numbers(client, f"{MAPS}?model=pets&layer=_blocks.15", cat)["model"]["name"] == "pets"


def test_the_hostile_corpus_is_answered(client: TestClient, shared_data: Path) -> None:
    manifest = json.loads((shared_data / "nasty/manifest.json").read_text(encoding="utf-8"))
    for name, entry in manifest.items():
        status = client.post(EXPLANATIONS, content=(shared_data / "nasty" / name).read_bytes()).status_code
        expected = {"ok": {200}, "4xx": {400, 413, 415, 422}, "ok_or_415": {200, 415}}
        assert status in expected.get(entry["expect"], {200, 413, 415, 422}), name


def random_vgg16() -> dict[str, torch.Tensor]:
    """Weights of the right shapes, in half precision as files are that have to be small."""
    with torch.device("meta"):
        shapes = BACKBONES["vgg16"].build().state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, values in shapes.items():
        scale = (2 / values[0].numel()) ** 0.5 if values.ndim > 1 else 0.01
        state[name] = torch.randn(values.shape, generator=generator).mul_(scale).half()
    return state


def test_the_lessons_network_is_looked_into_by_the_same_call(tmp_path: Path, settings: Settings, cat: bytes) -> None:
    save_file(random_vgg16(), tmp_path / "vgg16.safetensors")
    with TestClient(create_app(replace(settings, weights_dir=tmp_path))) as client:
        wait_until_ready(client)
        layers = client.get("/v1/models/vgg16/layers").json()["data"]
        assert "features.29" in {one["name"] for one in layers if one["suggested"]}
        body = numbers(client, f"{MAPS}?model=vgg16&layer=features.2", cat)
        assert (body["model"]["backbone"], body["shape"]) == ("vgg16", [64, 224, 224])
        assert client.post(f"{MAPS}?model=vgg16", content=cat).headers["content-type"] == "image/png"
        assert numbers(client, f"{EXPLANATIONS}?model=vgg16", cat)["layer"] == "features.29"
