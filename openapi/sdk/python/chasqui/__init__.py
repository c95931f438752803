"""The SDK of chasqui, a WhatsApp gateway. Its README has a first message, errors, pages, the stream and webhooks."""

from . import models
from ._client import Chasqui, is_queued, text
from ._errors import ChasquiError
from ._events import Events
from ._webhook import WebhookError, verify_webhook

__all__ = ["Chasqui", "ChasquiError", "Events", "WebhookError", "is_queued", "models", "text", "verify_webhook"]
