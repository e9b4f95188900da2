"""Work that waits for the store of files or the database while that is away: no job fails for what is not its fault."""

import asyncio
from collections.abc import Callable
from typing import Final, Never, ParamSpec, TypeVar

from app.jobs.engine import EngineStoppedError
from app.jobs.outage import Outage

Args = ParamSpec("Args")
Done = TypeVar("Done")

PAUSE_S: Final = 2.0


class Patience:
    """`away` is raised by what cannot be reached, of which `outage` tells; `is_ending` says that the worker leaves."""

    def __init__(self, away: type[Exception], outage: Outage, is_ending: Callable[[], bool]) -> None:
        self._away, self._outage, self._is_ending = away, outage, is_ending

    async def until_done(self, what: Callable[Args, Done], *args: Args.args, **kwargs: Args.kwargs) -> Done:
        """In a thread, again and again while it is away.

        Raises `EngineStoppedError` if the worker leaves meanwhile: the job goes on where it is reached.
        """
        while True:
            try:
                done = await asyncio.to_thread(what, *args, **kwargs)
            except self._away as error:
                self._outage.failed(error.__cause__ or error)
                if self._is_ending():
                    raise EngineStoppedError from error
                await asyncio.sleep(PAUSE_S)
            else:
                self._outage.is_over()
                return done


async def hand_on() -> Never:
    """The process ends, and its job goes on elsewhere; returning would end it."""
    await asyncio.Event().wait()
    raise AssertionError
