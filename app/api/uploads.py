"""Archives of pictures: taken from the line to a file, so that none of them is ever whole in memory."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final
from zipfile import ZIP_STORED, ZipFile

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.bodies import arriving_within
from app.api.errors import BodyTimeoutError, MalformedRequestError
from app.api.upload_turns import Upload, UploadTurns
from app.settings import Settings
from app.vision.transfer.archive import Archive

_ARCHIVES: Final = (".zip", ".tm", ".tar", ".tar.gz", ".tgz")
_PATIENCE: Final = 10
"""Times the seconds that the body of any other request has."""


@asynccontextmanager
async def received(request: Request, check: Callable[[Path, Settings], object]) -> AsyncIterator[Path]:
    """The archive that was sent, or a zip of the form's `files`, once `check` has let it pass.

    Raises what that raises, `UploadsFullError`, or what concerns the body.
    """
    settings: Settings = request.state.settings
    turns: UploadTurns = request.state.uploads
    folder = settings.data_dir / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    seconds = _PATIENCE * settings.body_timeout_s
    with _temporary_file(folder) as file:
        with turns.take() as upload:
            async with arriving_within(seconds):
                await _receive(request, upload, settings, file)
        await asyncio.to_thread(check, Path(file.name), settings)
        yield Path(file.name)


@contextmanager
def _temporary_file(folder: Path) -> Iterator[IO[bytes]]:
    """Gone afterwards, also where the last bytes find no room: there a file's own `with` would leave it."""
    file = NamedTemporaryFile(dir=folder, suffix=".zip")  # noqa: SIM115 -- closed below
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


async def _chunks(request: Request, upload: Upload, seconds: float) -> AsyncGenerator[bytes]:
    """Raises `BodyTimeoutError` if none comes for so long."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(seconds):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise BodyTimeoutError(f"Nothing came for {seconds:g} s.") from None
        if chunk is None:
            return
        upload.add(len(chunk))
        yield chunk


async def _receive(request: Request, upload: Upload, settings: Settings, file: IO[bytes]) -> None:
    chunks = _chunks(request, upload, settings.body_timeout_s)
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        await _receive_form(request, chunks, settings.dataset_limits.max_entries, file)
        return
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        await asyncio.to_thread(file.write, chunk)
    if not size:
        raise MalformedRequestError(
            "The request has no body: send a zip, a tar or a tar.gz of pictures, or a form with `files`."
        )
    file.flush()


async def _receive_form(request: Request, sending: AsyncGenerator[bytes], most: int, file: IO[bytes]) -> None:
    """Each file is written away when it has come: of a form that `request.form` parses, all would be in memory."""
    folder = _Folder(file)

    async def chunks() -> AsyncGenerator[bytes]:
        async for chunk in sending:
            yield chunk
            sent = [one for _, one in parser.items if isinstance(one, UploadFile)]  # what has come as a whole
            parser.items.clear()
            if sent:
                await asyncio.to_thread(folder.add, sent)

    parser = MultiPartParser(request.headers, chunks(), max_files=most, max_fields=most)
    try:
        await parser.parse()
        await asyncio.to_thread(folder.finish)
    except MultiPartException as error:
        raise MalformedRequestError(error.message) from None
    finally:
        folder.close()


class _Folder:
    """A zip of a form's files, under the names that a browser gives those of a folder (`label/name.jpg`).

    A lone archive among them is taken as it is; hence the first one waits.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._first: UploadFile | None = None
        self._archive: ZipFile | None = None

    def add(self, sent: Sequence[UploadFile]) -> None:
        for one in sent:
            if self._first is None and self._archive is None and _is_archive(one):
                self._first = one
            else:
                self._write(one)

    def finish(self) -> None:
        """Raises `MalformedRequestError` if there was no file."""
        if self._archive:
            if self._first:
                self._write(self._first)
            self._archive.close()
            self._archive = None
        elif self._first:
            _copy(self._first, self._file)
            self._first.file.close()
        else:
            raise MalformedRequestError(
                "The form has no file: send `files` that are named like label/name.jpg, or an archive."
            )
        self._file.flush()

    def close(self) -> None:
        """What was not finished, while its file is open: it would write to it later."""
        if self._archive:
            with suppress(OSError, ValueError):
                self._archive.close()

    def _write(self, sent: UploadFile) -> None:
        self._archive = self._archive or ZipFile(self._file, "w", ZIP_STORED)
        # An odd name is no reason to refuse the others: it would be left out with a reason, if it could be written.
        with suppress(ValueError), self._archive.open(sent.filename or "unnamed", "w") as member:
            _copy(sent, member)
        sent.file.close()


def _is_archive(sent: UploadFile) -> bool:
    return (sent.filename or "").lower().endswith(_ARCHIVES)


def _copy(sent: UploadFile, into: IO[bytes]) -> None:
    shutil.copyfileobj(sent.file, into, 1 << 20)


def enough_to_learn(path: Path, settings: Settings) -> None:
    """Raises `DatasetError` or `NotEnoughImagesError`."""
    with Archive(path, settings.dataset_limits, scratch=path.parent) as archive:
        archive.check()
