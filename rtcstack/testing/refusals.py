"""What an event loop in virtual time does not do: it says so at once, where it would wait without end."""

from __future__ import annotations

from typing import Any, NoReturn

from rtcstack.testing.errors import RealWaitError

__all__ = ["RefusesTheRealWorld", "refuse"]


def refuse(what: str, instead: str) -> NoReturn:
    """Say that it cannot be had.

    Raises:
        RealWaitError: always.
    """
    raise RealWaitError(f"{what}: virtual time does not wait for the real world; {instead}")


class RefusesTheRealWorld:
    """The calls of asyncio's loop that would wait for something real: all raise `RealWaitError`."""

    def set_default_executor(self, executor: Any) -> None:
        """Threads take real time."""
        refuse("set_default_executor", "there are no threads")

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> NoReturn:
        """File descriptors are of the real world."""
        refuse(f"add_reader({fd!r})", "sockets are made by the loop's own calls")

    def remove_reader(self, fd: Any) -> bool:
        """There are none."""
        return False

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> NoReturn:
        """File descriptors are of the real world."""
        refuse(f"add_writer({fd!r})", "sockets are made by the loop's own calls")

    def remove_writer(self, fd: Any) -> bool:
        """There are none."""
        return False

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> NoReturn:
        """Signals are of the real world."""
        refuse(f"add_signal_handler({sig!r})", "call the handler")

    def remove_signal_handler(self, sig: int) -> bool:
        """There are none."""
        return False

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Processes take real time."""
        refuse("subprocess_exec", "let the test say what the process would")

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Processes take real time."""
        refuse("subprocess_shell", "let the test say what the process would")

    async def connect_read_pipe(self, protocol_factory: Any, pipe: Any) -> NoReturn:
        """Pipes are of the real world."""
        refuse("connect_read_pipe", "call the protocol")

    async def connect_write_pipe(self, protocol_factory: Any, pipe: Any) -> NoReturn:
        """Pipes are of the real world."""
        refuse("connect_write_pipe", "use a stream")

    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Sockets of the file system are of the real world."""
        refuse("create_unix_connection", "use create_connection")

    async def create_unix_server(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Sockets of the file system are of the real world."""
        refuse("create_unix_server", "use create_server")

    async def sendfile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Files are read by threads."""
        refuse("sendfile", "write what is in the file")
