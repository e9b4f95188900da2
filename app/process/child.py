"""The worker as a child process of the service: started again when it dies, and let go of when the service ends."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Awaitable
from typing import Final

from app.settings import Settings

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0
_BACK_OFF_S: Final = (0.2, 1.0, 5.0, 30.0)


class Child:
    """A worker process that is started `after` something, and again when it dies, the later the more often it does."""

    def __init__(self, settings: Settings, *, after: Awaitable[object]) -> None:
        self._settings, self._after = settings, after
        self._process: asyncio.subprocess.Process | None = None
        self._keeping = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        """None while it is being started again."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def stop(self) -> None:
        """Let it hand back its jobs; killed if it takes more than ten seconds."""
        self._keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeping
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _keep(self) -> None:
        await self._after
        deaths = 0
        while True:
            began = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", "worker", "--child"),
                stdin=asyncio.subprocess.PIPE,
                env=os.environ | self._settings.environ(),
            )
            code = await self._process.wait()
            deaths = 1 if time.monotonic() - began > _BACK_OFF_S[-1] else deaths + 1
            pause = _BACK_OFF_S[min(deaths, len(_BACK_OFF_S)) - 1]
            log.error("The worker ended with %d; it is started again in %g s.", code, pause)
            await asyncio.sleep(pause)
