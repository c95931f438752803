"""The client."""

from __future__ import annotations

import uuid
from typing import List, Mapping, Optional, TypeGuard, Union, cast

from . import models
from ._events import Events
from ._operations import Operations


class Chasqui(Operations):
    """Calls the API. Problems are raised as ChasquiError. Many threads may use one."""

    def events(
        self,
        *,
        after: Optional[str] = None,
        type: Optional[List[str]] = None,
        session_id: Optional[List[str]] = None,
        chat_kind: Optional[List[str]] = None,
        from_me: Optional[bool] = None,
    ) -> Events:
        """Follows what happens by SSE, and goes on where it broke.

        after: Begins with what came after the event of this id. Keep the id of the last event that you have dealt with, and you miss nothing. Without it: with
        what happens from now on.
        type: Such as message.received or message.*; without it all.
        session_id: The sessions to follow; without it all.
        chat_kind: Such as user or group; without it all.
        from_me: Only what is about the account's own messages, or only what is about others'.
        """
        return Events(self, {"type": type, "sessionId": session_id, "chatKind": chat_kind, "fromMe": from_me}, after)

    def whole(self, event: Union[models.Event, models.ThinEvent]) -> models.Event:
        """Returns a webhook's event, and gets it where it was too large for a webhook."""
        return self.get_event(event["id"]) if "dataUrl" in event else event

    def upload_media(
        self, data: bytes, mimetype: str, file_name: Optional[str] = None, *, idempotency_key: Optional[str] = None
    ) -> models.MediaInfo:
        """Stores a file that messages can then send by its id. POST /v1/media"""
        boundary = uuid.uuid4().hex
        name = (file_name or "file").replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "")
        if any(c in mimetype for c in "\r\n"):
            raise ValueError("a mimetype is one line")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {mimetype}\r\n\r\n'
        form = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
        headers: Mapping[str, str] = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return cast(models.MediaInfo, self.request("POST", "/v1/media", data=form, headers=headers, idempotency_key=idempotency_key))


def text(text: str) -> models.TextContent:
    """A text as send_message takes it."""
    return {"type": "text", "text": text}


def is_queued(answer: object) -> TypeGuard[models.Change]:
    """Whether an operation that changes something was not done within the wait, and still will be: the answer is then the Change."""
    return isinstance(answer, dict) and "kind" in answer and str(cast(object, answer.get("id", ""))).startswith("chg_")  # pyright: ignore
