"""What chasqui answers instead of a result."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, Dict, List, Optional, cast

from . import models


class ChasquiError(Exception):
    """A problem that chasqui answered. Decide by its code."""

    def __init__(self, status: int, headers: Message, body: bytes) -> None:
        problem: Dict[str, Any] = {}
        try:
            read: Any = json.loads(body)
            if isinstance(read, dict):
                problem = cast(Dict[str, Any], read)
        except ValueError:
            pass  # a proxy's page
        #: What went wrong, such as session_not_found: one of models.Code, or a newer one. Empty where the answer is not chasqui's but a proxy's.
        self.code: str = problem.get("code", "")
        #: The status of the HTTP answer.
        self.status = status
        self.title: str = problem.get("title", "")
        self.detail: str = problem.get("detail", "the answer is no problem of chasqui's")
        #: Names the request in chasqui's log.
        self.request_id: Optional[str] = problem.get("requestId") or headers.get("X-Request-Id")
        #: Seconds to wait before it is worth another try, where chasqui said so.
        self.retry_after: Optional[float] = _seconds(headers.get("Retry-After"))
        #: What is wrong with which part of the request, where it is validation_failed.
        self.errors: List[models.FieldError] = problem.get("errors", [])
        #: The message that failed, where wait waited for it.
        self.message_id: Optional[str] = problem.get("messageId")
        super().__init__(f"{self.code or status}: {self.detail}")

    @property
    def passes(self) -> bool:
        """Whether it may be gone in a moment."""
        if self.status == 429:
            return self.code != "account_restricted"
        if self.status == 502:
            return self.code != "whatsapp_rejected"
        return self.status in (500, 503, 504) or self.code == "idempotency_in_progress"


def _seconds(header: Optional[str]) -> Optional[float]:
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None
