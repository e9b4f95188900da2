from pathlib import Path

import pytest

from app.settings import Settings, SettingsError
from docs.make_settings import PAGE, page


def test_without_environment_the_defaults_serve_on_loopback() -> None:
    settings = Settings.from_environ({"PATH": "/bin"})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.max_pixels == 25_000_000
    assert (settings.models_dir / "imagenet/model.json").is_file()
    assert settings.threads >= 1


def test_every_setting_is_read_as_what_it_is() -> None:
    settings = Settings.from_environ(
        {
            "INKBLOT_PORT": "9000",
            "INKBLOT_WEIGHTS_DIR": "weights",
            "INKBLOT_FORMATS": "jpeg, png,tiff",
            "INKBLOT_ENGINE": "torch",
            "INKBLOT_DATA_DIR": "",
            "INKBLOT_ALLOWED_HOSTS": "Ink.example, *.school.example",
            "INKBLOT_ALLOWED_ORIGINS": "https://front.example,http://localhost:5173",
            "INKBLOT_TRUSTED_PROXIES": "10.0.0.7, 10.1.0.0/16,::1",
            "INKBLOT_LOG_FORMAT": "text",
            "INKBLOT_URL": "http://elsewhere",
        }
    )
    assert settings.port == 9000
    assert settings.weights_dir == Path("weights")
    assert settings.formats == ("JPEG", "PNG", "TIFF")
    assert settings.engine == "torch"
    assert settings.data_dir == Path("var")
    assert settings.allowed_hosts == ("ink.example", "*.school.example")
    assert settings.allowed_origins == ("https://front.example", "http://localhost:5173")
    assert settings.trusted_proxies == ("10.0.0.7/32", "10.1.0.0/16", "::1/128")
    assert settings.log_format == "text"
    assert Settings.from_environ(settings.environ()) == settings


def test_a_misspelt_setting_stops_the_start_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match="INKBLOT_PROT; did you mean INKBLOT_PORT"):
        Settings.from_environ({"INKBLOT_PROT": "9000"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_HOSTS", "https://ink.example"),
        ("ALLOWED_HOSTS", "ink.example:8000"),
        ("ALLOWED_ORIGINS", "front.example"),
        ("ALLOWED_ORIGINS", "https://front.example/"),
        ("ALLOWED_ORIGINS", "null"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("LOG_FORMAT", "xml"),
        ("PORT", "x"),
        ("PORT", "70000"),
        ("THREADS", "0"),
        ("ENGINE", "onnx"),
        ("FORMATS", "EPS"),
        ("FORMATS", ","),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"INKBLOT_{name}"):
        Settings.from_environ({f"INKBLOT_{name}": value})


def test_the_page_of_the_settings_says_what_the_settings_say() -> None:
    """After a change: `.venv/bin/python -m docs.make_settings`."""
    assert page() == PAGE.read_text(encoding="utf-8")
