"""The stream of events."""

from __future__ import annotations

import http.client
import json
import threading
from types import TracebackType
from typing import Any, Iterator, Mapping, Optional, Type

from . import models
from ._errors import ChasquiError
from ._send import LONGEST_WAIT, Answer, Sender

# After so many seconds of silence a stream is taken for dead: the server says something every 15 s.
SILENCE = 45.0
# Bounds an event, in bytes.
LONGEST_LINE = 64 << 20


class Events:
    """Follows what happens, without an end: for event in events. Leave the loop, or call close, to end it.

    Failure policy: where the first connection fails it is tried as often as any request. A stream that breaks is opened again where it broke, for
    as long as it takes, after 1 s, 2 s and so on up to 30 s. What will not pass ends it with a ChasquiError, such as unauthorized, or cursor_expired
    where what followed is no longer kept.
    """

    def __init__(self, sender: Sender, query: Mapping[str, Any], after: Optional[str]) -> None:
        self._sender = sender
        self._query = query
        #: The id of the last event, or of the place after it that the stream has come to. Keep the ids of the events that you have dealt with.
        self.last_id = after or ""
        self._closed = threading.Event()
        self._iterator = self._follow()

    def __iter__(self) -> Iterator[models.Event]:
        return self._iterator

    def __next__(self) -> models.Event:
        return next(self._iterator)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """Ends the loop, from any thread: at once where it waits to connect again, else with the next sign of life, within 15 s."""
        self._closed.set()

    def _follow(self) -> Iterator[models.Event]:
        failures, opened = 0, False
        while not self._closed.is_set():
            asked = 0.0
            try:
                headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
                if self.last_id:
                    headers["Last-Event-ID"] = self.last_id
                answer: Answer = self._sender.open("GET", "/v1/events/stream", query=self._query, headers=headers, timeout=SILENCE)
                opened = True
                with answer:
                    for event in self._read(answer):
                        failures = 0
                        if event is not None:
                            yield event
                        if self._closed.is_set():
                            return
            except (OSError, http.client.HTTPException):
                if not opened:
                    raise
            except ChasquiError as error:
                if not opened or not error.passes:
                    raise
                asked = error.retry_after or 0.0
            self._closed.wait(min(max(2.0 ** min(failures, 5), asked), LONGEST_WAIT))
            failures += 1

    def _read(self, answer: Answer) -> Iterator[Optional[models.Event]]:
        """Yields events, and None for a sign of life."""
        data = b""
        while True:
            line = answer.readline(LONGEST_LINE)
            if not line:
                return
            if not line.endswith(b"\n"):
                if len(line) >= LONGEST_LINE:
                    raise ValueError("an event is larger than 64 MiB")
                return  # broken off
            line = line.rstrip(b"\r\n")
            if line.startswith(b":"):
                yield None
            elif line.startswith(b"id:"):
                self.last_id, before = line[3:].strip().decode(), self.last_id
                # An event is only had once its last line is there.
                data = b""
                following = answer.readline(LONGEST_LINE)
                while following.strip():
                    if following.startswith(b"data:"):  # chasqui's is one line
                        data = following[5:].strip()
                    following = answer.readline(LONGEST_LINE)
                if not following:
                    self.last_id = before
                    return
                if data:
                    yield json.loads(data)
