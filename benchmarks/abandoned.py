"""Requests whose clients go away, and patient ones meanwhile and afterwards, each of which is to be answered.

The patient clients are sixteen, fewer than the service has places for; so whoever is refused was refused for the dead.
"""

import argparse
import asyncio
import random
import statistics
import struct
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from benchmarks.load import Load, Outcome, request, run
from benchmarks.servers import OURS, ROOT, running

PHOTO: Final = ROOT / "app/web/samples/bernese.png"
_STAYS_S: Final = (0.005, 0.060)
_RESET: Final = struct.pack("ii", 1, 0)
"""Closing sends a reset, as a client that is killed does; else an end, as one that is closed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--abandoned", type=int, default=1200)
    parser.add_argument("--patient", type=int, default=300)
    choices = parser.parse_args()
    refused = 0
    print(f"{choices.abandoned} abandoned, {choices.patient} patient meanwhile and {choices.patient} afterwards")
    for multipart in (False, True):
        form = "multipart" if multipart else "raw"
        with tempfile.TemporaryDirectory() as folder, running(OURS, Path(folder)) as (_, port, _):
            found = asyncio.run(flood(port, choices.abandoned, choices.patient, multipart=multipart))
        for when, outcome in zip(("meanwhile", "afterwards"), found, strict=True):
            answered = outcome.latencies_ms()
            refused += len(outcome.answers) - len(answered)
            print(
                f"{form:9}  {when:10}  {len(answered)} of {len(outcome.answers)} answered,"
                f" p50 {statistics.median(answered):.0f} ms, slowest {answered[-1]:.0f} ms",
                flush=True,
            )
    sys.exit(bool(refused))


async def flood(
    port: int, abandoned: int, patient: int, *, multipart: bool, clients: int = 16, leaving: int = 100
) -> tuple[Outcome, Outcome]:
    """What those got who were patient while others went away, and what those got who came at once after that.

    The patient requests come of so many `clients`, the abandoned ones of as many as are `leaving` at one time.
    """
    photo = PHOTO.read_bytes()
    load = Load(port, OURS.path, [], clients=clients, seconds=0, multipart=multipart, requests=patient)
    going = asyncio.create_task(_go_away(load, request(load, photo), abandoned, leaving))
    meanwhile = await run(load, [photo])
    await going
    await _go_away(load, request(load, photo), abandoned, leaving)
    return meanwhile, await run(load, [photo])


async def _go_away(load: Load, asked: bytes, number: int, leaving: int) -> None:
    chance, at_once = random.Random(0), asyncio.Semaphore(leaving)

    async def one(seconds: float, *, resets: bool) -> None:
        async with at_once:
            _, writer = await asyncio.open_connection("127.0.0.1", load.port)
            writer.write(asked)
            await asyncio.sleep(seconds)
            if resets:
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    stays = [chance.uniform(*_STAYS_S) for _ in range(number)]
    await asyncio.gather(*(one(seconds, resets=chance.random() < 0.5) for seconds in stays))


if __name__ == "__main__":
    main()
