"""GET /v1/models/{name}/export."""

import asyncio
import errno
import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from app.api.dependencies import ModelName, Predictor
from app.api.problems import responses
from app.jobs.files import StorageFullError
from app.settings import Settings
from app.vision.classifier import ModelCard

router = APIRouter(tags=["models"])
_KEPT: Final = 8


class ExportError(RuntimeError):
    """The process that makes the bundle failed; it has told the log why."""


class Bundles:
    """Zips of models, each made when it is first asked for and then kept.

    By a process of its own: what turns a network into ONNX holds the interpreter for seconds, and classification would
    stand still.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._folder = settings, settings.data_dir / "cache" / "exports"
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, card: ModelCard, changed: int) -> Path:
        """Raises `ExportError` or `StorageFullError`."""
        path = self._folder / f"{card.name}-{card.version}-{changed:x}.zip"
        async with self._making[card.name]:
            if not path.is_file():
                await self._make(card.name, path)
        return path

    async def forget(self, name: str) -> None:
        """Of a model that was deleted."""
        async with self._making[name]:
            for path in self._folder.glob(f"{name}-*.zip"):
                if re.fullmatch(rf"{re.escape(name)}-\d+-[0-9a-f]+\.zip", path.name):
                    path.unlink(missing_ok=True)

    async def _make(self, name: str, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._folder) as folder:
            draft = Path(folder) / "draft.zip"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", "export", name, "--here", "--out", str(draft)),
                stdout=asyncio.subprocess.DEVNULL,
                env=os.environ | self._settings.environ(),
            )
            try:
                code = await process.wait()
            finally:
                if process.returncode is None:  # the client went away
                    process.kill()
                    await process.wait()
            if code == errno.ENOSPC:  # as `inkblot export --here` ends then
                raise StorageFullError("The disk of the service has no room for the bundle.")
            if code or not draft.is_file():
                raise ExportError(f"The bundle of {name} was not made: the process ended with {code}.")
            draft.replace(path)
        for old in sorted(self._folder.glob("*.zip"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)


@router.get(
    "/models/{name}/export",
    response_class=Response,
    responses=responses("unknown-model", "model-unavailable", "storage-full")
    | {200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def export_model(name: ModelName, request: Request, predictor: Predictor) -> FileResponse:
    """A zip with all that it takes to use the model without Inkblot, also as ONNX; made when it is first asked for."""
    bundles: Bundles = request.state.bundles
    card = (await predictor.load(name)).card
    path = await bundles.get(card, await asyncio.to_thread(predictor.repository.changed, name))
    return FileResponse(path, media_type="application/zip", filename=f"{name}.zip")
