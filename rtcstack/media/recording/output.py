"""What of a recorder is a worker's: the file that it writes, or one after the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from av.container import OutputContainer

from rtcstack.errors import OperationError
from rtcstack.media.files import open_output
from rtcstack.media.recording.inputs import Entry, Input, Skip
from rtcstack.media.recording.rotation import Rotation
from rtcstack.media.recording.writer import Writer

__all__ = ["Output"]

_logger = logging.getLogger("rtcstack.media")


class Owner(Protocol):
    """Who is told. On a worker."""

    def file_done(self, file: Any) -> None:
        """A file is complete, and another one is begun."""

    def key_frame_wanted(self, entry: Input) -> None:
        """Another file waits for one."""


class Output:
    """Writes frames. One call at a time, by any thread.

    Args:
        owner: is told of files and key frames.
        inputs: of which there may be a stream.
        file: path or URL; or an object with ``write`` and ``seek``.
        form: FFmpeg's name of the format; None to go by the path's ending.
        options: FFmpeg's, for the format.
        rotation: of files that follow each other, or None.

    Attributes:
        container: the present file, until it is finished.

    Raises:
        OperationError: it cannot be written.
    """

    def __init__(
        self,
        owner: Owner,
        inputs: Sequence[Input],
        file: Any,
        form: str | None,
        options: dict[str, str],
        rotation: Rotation | None,
    ) -> None:
        self._owner = owner
        self._inputs = inputs
        self._file = file
        self._form = form
        self._options = options
        self._rotation = rotation
        self._open_inputs: set[Input] = set()
        self.container: OutputContainer = open_output(
            file if rotation is None else rotation.next(0.0), form, options
        )

    @property
    def file(self) -> Any:
        """Path of the present file, or the object."""
        return self._file if self._rotation is None else self._rotation.path

    @property
    def has_begun(self) -> bool:
        """Whether there was a frame."""
        return bool(self._open_inputs)

    def begin(self, early: list[Entry]) -> None:
        """Open the streams of those inputs that have given something, and write that."""
        if not early:
            _logger.warning("recording %r has ended without a frame", self._file)
            return
        began_at = early[0][2]
        for wanted in self._inputs:  # the order of the streams in the file, whoever gave something first
            for entry, item, at in early:
                # a stream is opened with its first frame, which tells its size or rate
                writer = entry.writer
                if entry is not wanted or writer is None or isinstance(item, Skip):
                    continue
                if writer.open(self.container, item, at - began_at):
                    self._open_inputs.add(entry)
                    break
        self.write_all(early)

    def write_all(self, entries: list[Entry]) -> None:
        """Write frames, in their order."""
        for entry, item, at in entries:
            self._write(entry, item, at)

    def finish(self, *, has_failed: bool) -> None:
        """There are no more; the file is closed.

        Args:
            has_failed: nothing can be written any more.
        """
        try:
            if not has_failed:
                for _, writer in self._open_writers():
                    writer.flush()
        finally:
            for entry in self._inputs:
                entry.writer = None
            # PyAV closes a file whose end cannot be written when nobody holds it
            container = self.container
            del self.container
            container.close()

    def _open_writers(self) -> list[tuple[Input, Writer]]:
        return [(each, each.writer) for each in self._inputs if each in self._open_inputs and each.writer]

    def _write(self, entry: Input, item: Any, at: float) -> None:
        writer = entry.writer
        if entry not in self._open_inputs or writer is None:
            if not isinstance(item, Skip):
                entry.leave_out("the input began after the file's header was written")
            return
        if isinstance(item, Skip):
            writer.skip(item)
            return
        if self._rotation is not None:
            self._rotate_if_due(self._rotation, entry, writer, item)
        try:
            writer.write(item, at)
        except OperationError as exc:
            if entry.is_encoded:
                raise
            entry.leave_out(exc)  # of this frame alone

    def _rotate_if_due(self, rotation: Rotation, entry: Input, writer: Writer, item: Any) -> None:
        """Go on in another file before this frame, if the present one is complete."""
        can_begin = writer.can_begin(item)
        if can_begin and entry.is_encoded and entry.is_video:
            entry.first = item  # streams of other files begin with it
        video = next((each for each in self._inputs if each in self._open_inputs and each.is_video), entry)
        if entry is not video or not rotation.is_due(writer.end_s):
            return
        if can_begin:
            self._rotate(rotation)
        elif not rotation.is_asked:
            rotation.is_asked = True
            self._owner.key_frame_wanted(entry)

    def _rotate(self, rotation: Rotation) -> None:
        done, writers = rotation.path, self._open_writers()
        for _, writer in writers:
            writer.flush()
        self.container.close()
        self._owner.file_done(done)
        base_s = min(writer.end_s for _, writer in writers)
        self.container = open_output(rotation.next(base_s), self._form, self._options)
        for each, writer in writers:
            writer.reopen(self.container, each.first, base_s)
