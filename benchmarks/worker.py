"""A process with one contender in it, which works when it is asked to.

All contenders are ready at once and take turns, so that a busy moment of the machine meets all of
them.
"""

import os
import traceback
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.desk import Desk


class Worker:
    """A process for the block. `worker.ask("method", ...)` calls the method of the Desk in it."""

    def __init__(self, contender: str, database_url: str) -> None:
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(contender, database_url, other), daemon=True
        )
        self._process.start()

    def ask(self, method: str, *args: Any) -> Any:
        self._connection.send((method, args))
        answer, error = self._connection.recv()
        if error:
            raise RuntimeError(error)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(BrokenPipeError):  # it has failed
            self._connection.send(None)
        self._process.join()


def _serve(contender: str, database_url: str, connection: Connection) -> None:
    os.environ |= {"CONTENDER": contender, "DATABASE_URL": database_url}
    desk = Desk(contender)
    while (question := connection.recv()) is not None:
        method, args = question
        answer: tuple[Any, str | None]
        try:
            answer = getattr(desk, method)(*args), None
        except Exception:
            answer = None, f"{contender}: {traceback.format_exc()}"
        connection.send(answer)
