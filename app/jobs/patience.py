"""Work that waits for the store of files while that is away: no job fails for what is not its fault."""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from app.jobs.engine import EngineStoppedError
from app.jobs.files import StorageDownError
from app.jobs.outage import Outage

Args = ParamSpec("Args")
Done = TypeVar("Done")

STORE_PAUSE_S: Final = 2.0


class StorePatience:
    """`is_ending` says that the worker leaves."""

    def __init__(self, is_ending: Callable[[], bool]) -> None:
        self._is_ending = is_ending
        self._outage = Outage("The store of the jobs' files")

    async def until_done(self, what: Callable[Args, Done], *args: Args.args, **kwargs: Args.kwargs) -> Done:
        """In a thread, again and again while it raises `StorageDownError`.

        Raises `EngineStoppedError` if the worker leaves meanwhile: the job goes on where the store is reached.
        """
        while True:
            try:
                done = await asyncio.to_thread(what, *args, **kwargs)
            except StorageDownError as error:
                self._outage.failed(error.__cause__ or error)
                if self._is_ending():
                    raise EngineStoppedError from error
                await asyncio.sleep(STORE_PAUSE_S)
            else:
                self._outage.is_over()
                return done
