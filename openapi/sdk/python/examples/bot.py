"""Answers every text with the same text."""

import os

from chasqui import Chasqui, ChasquiError, text

chasqui = Chasqui(os.environ["CHASQUI_URL"], os.environ["CHASQUI_API_KEY"])

for event in chasqui.events(type=["message.received"], after=os.environ.get("AFTER")):
    if event["type"] != "message.received":
        continue
    message = event["data"]["message"]
    if message["content"]["type"] != "text" or "text" not in message["content"]:
        continue
    try:
        chasqui.send_message(
            message["sessionId"],
            {"to": message["chatId"], "replyTo": message["id"], "content": text(message["content"]["text"])},
            idempotency_key="echo-" + event["id"],
        )
    except ChasquiError as error:
        print(error)
