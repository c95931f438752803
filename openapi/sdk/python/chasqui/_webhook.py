"""Webhooks, as Standard Webhooks 1.0 has them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any, Mapping, Optional, Sequence, Union, cast

from . import models

# How far a webhook's time may be from ours, in seconds.
TOLERANCE = 300


class WebhookError(Exception):
    """A webhook that is not to be believed."""


def verify_webhook(
    headers: Mapping[str, Any],
    body: bytes,
    secrets: Union[str, Sequence[str]],
    *,
    now: Optional[float] = None,
) -> Union[models.Event, models.ThinEvent]:
    """Checks that a webhook comes from chasqui, and returns its event.

    The body must be the bytes as they came. A secret is what the endpoint's creation answered, whsec_ and all; give the new and the old one while you
    change it. An event can come twice: its id tells. An event of more than 256 KiB comes without its data: "dataUrl" in event tells, and
    Chasqui.whole gets it.
    """
    given = {name.lower(): str(value) for name, value in headers.items()}
    event_id, at, signatures = (given.get("webhook-" + name, "") for name in ("id", "timestamp", "signature"))
    if not event_id or not signatures or not (at.isascii() and at.isdigit()):
        raise WebhookError("the webhook lacks webhook-id, webhook-timestamp or webhook-signature")
    if abs((time.time() if now is None else now) - int(at)) > TOLERANCE:
        raise WebhookError("the webhook was not signed within the last 5 minutes")
    genuine = False
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if not key:
            raise ValueError("a webhook's secret is whsec_ and base64")
        want = base64.b64encode(hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest())
        for one in signatures.split(" "):
            genuine = hmac.compare_digest(one.encode(), b"v1," + want) or genuine
    if not genuine:
        raise WebhookError("none of the webhook's signatures is right")
    return cast("Union[models.Event, models.ThinEvent]", json.loads(body))
