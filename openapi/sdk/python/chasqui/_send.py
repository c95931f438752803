"""Sends requests, and repeats them."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from email.message import Message
from typing import Any, Dict, Mapping, Optional

from ._errors import ChasquiError

# How long a client waits by itself, in seconds. Where the server says that it takes longer, the caller decides.
LONGEST_WAIT = 30.0

#: An answer whose body is read by the caller, who closes it.
Answer = http.client.HTTPResponse


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key to where nobody meant to send it."""

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Message, newurl: str) -> None:
        return None


class Sender:
    """Sends requests. Many threads may use one."""

    def __init__(self, url: str, api_key: str, *, timeout: float = 90.0, attempts: int = 4) -> None:
        """
        url: Where chasqui is, such as https://chasqui.example.com.
        timeout: Seconds that a request may be silent; 90 since requests may wait up to 30 s for WhatsApp.
        attempts: How often a request is sent at most; 1 repeats nothing.
        """
        if not url or not api_key:
            raise ValueError("url and api_key must be given")
        self._url = url.rstrip("/")
        self._key = api_key
        self._timeout = timeout
        self._attempts = attempts
        self._opener = urllib.request.build_opener(_NoRedirects)

    def request(self, method: str, path: str, **more: Any) -> Any:
        """Sends a request as open does, and returns the JSON of its answer."""
        body = self.open(method, path, read=True, **more)
        return json.loads(body) if body else None

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        data: Optional[bytes] = None,
        headers: Optional[Mapping[str, str]] = None,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
        timeout: Optional[float] = None,
        read: bool = False,
    ) -> Any:
        """Sends a request, and returns its answer, or with read the answer's bytes.

        Failure policy: what fails on the way, and what the server says will pass, is repeated after 0.5, 1 and 2 s, or after Retry-After. A POST
        carries one Idempotency-Key in all attempts, so that it is done once.
        """
        url = self._url + path
        pairs = [(name, _value(value)) for name, value in (query or {}).items() if value is not None]
        if pairs:
            url += "?" + urllib.parse.urlencode(pairs, safe=",:")
        all_headers: Dict[str, str] = {"X-API-Key": self._key, "Accept": "application/json, */*;q=0.5", "User-Agent": "chasqui-python"}
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            all_headers["Content-Type"] = "application/json"
        if wait is not None:
            all_headers["Prefer"] = f"wait={wait}"
        if method == "POST":
            all_headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
            data = data or b""
        all_headers.update(headers or {})
        attempt = 1
        while True:
            try:
                answer = self._once(urllib.request.Request(url, data, all_headers, method=method), timeout or self._timeout)
                if not read:
                    return answer
                with answer:
                    return answer.read()
            except (ChasquiError, OSError, http.client.HTTPException) as error:
                pause = _pause(error, attempt)
                if pause is None or attempt >= self._attempts:
                    raise
            time.sleep(pause)
            attempt += 1

    def _once(self, request: urllib.request.Request, timeout: float) -> Answer:
        try:
            answer: Answer = self._opener.open(request, timeout=timeout)
            return answer
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ChasquiError(refusal.code, refusal.headers, refusal.read()) from None


def _pause(error: Exception, attempt: int) -> Optional[float]:
    """Seconds to wait after an error, or None where that is not worth it."""
    wait = min(0.25 * 2**attempt, LONGEST_WAIT) * random.uniform(0.5, 1.0)
    if not isinstance(error, ChasquiError):
        return wait  # nobody answered
    asked = error.retry_after or 0.0
    return max(wait, asked) if error.passes and asked <= LONGEST_WAIT else None


def segment(value: str) -> str:
    """A value as a part of a path."""
    return urllib.parse.quote(value, safe="@")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)
