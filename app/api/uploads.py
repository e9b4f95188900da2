"""Archives of pictures: taken from the line to a file, so that none of them is ever whole in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Annotated, Final
from zipfile import ZIP_STORED, ZipFile

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from app.api.problems import BodyTimeoutError, MalformedRequestError, UploadsFullError
from app.settings import Settings
from app.vision.dataset import Archive

_AT_ONCE: Final = 4
"""A form's small files stay in memory until all have come."""
_PATIENCE: Final = 10
"""Times the seconds that the body of any other request has."""


async def archive(request: Request) -> AsyncIterator[Path]:
    """The zip that was sent, or one of the form's `files`; it has been found to hold enough to learn from.

    Raises `DatasetError`, `NotEnoughImagesError`, `UploadsFullError`, or what concerns the body.
    """
    settings: Settings = request.state.settings
    turns: asyncio.Semaphore = request.state.uploads
    if turns.locked():
        raise UploadsFullError("Other pictures are being sent just now.")
    folder = settings.data_dir / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    seconds = _PATIENCE * settings.body_timeout_s
    with NamedTemporaryFile(dir=folder, suffix=".zip") as file:
        async with turns:
            try:
                async with asyncio.timeout(seconds):
                    await _receive(request, settings, file)
            except TimeoutError:
                raise BodyTimeoutError(f"The body was not complete after {seconds} s.") from None
        await asyncio.to_thread(_check, Path(file.name), settings)
        yield Path(file.name)


def uploads() -> asyncio.Semaphore:
    """How many archives are received at once."""
    return asyncio.Semaphore(_AT_ONCE)


async def _receive(request: Request, settings: Settings, file: IO[bytes]) -> None:
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        most = settings.dataset_limits.max_entries
        async with request.form(max_files=most, max_fields=most) as form:
            await asyncio.to_thread(_zip, form, file)
        return
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        await asyncio.to_thread(file.write, chunk)
    if not size:
        raise MalformedRequestError(
            "The request has no body: send a zip with a folder a class, or a form with `files`."
        )
    file.flush()


def _zip(form: FormData, file: IO[bytes]) -> None:
    """The files of a form, under the names that a browser gives those of a folder (`label/name.jpg`).

    A lone zip among them is taken as the archive itself.
    """
    sent = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if not sent:
        raise MalformedRequestError("The form has no file: send `files` that are named like label/name.jpg, or a zip.")
    if len(sent) == 1 and (sent[0].filename or "").lower().endswith(".zip"):
        while chunk := sent[0].file.read(1 << 20):
            file.write(chunk)
    else:
        with ZipFile(file, "w", ZIP_STORED) as archive:
            for one in sent:
                with suppress(ValueError), archive.open(one.filename or "unnamed", "w") as member:
                    while chunk := one.file.read(1 << 20):
                        member.write(chunk)
    file.flush()


def _check(path: Path, settings: Settings) -> None:
    with Archive(path, settings.dataset_limits) as archive:
        archive.check()


SentArchive = Annotated[Path, Depends(archive)]
