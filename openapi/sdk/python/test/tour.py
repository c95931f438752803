"""Does with the SDK what its README shows, against a running `chasqui dev`, and fails where anything is not as it should be."""

import http.server
import json
import os
import queue
import threading
import time
import urllib.request
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from chasqui import Chasqui, ChasquiError, WebhookError, is_queued, text, verify_webhook

# The phones are those of the sandbox; PEER answers every text with the same text.
SESSION, PHONE, PEER = os.environ["SESSION"], os.environ["PHONE"], os.environ["PEER"]


def link(chasqui: Chasqui) -> None:
    """Makes a session, and has the simulated phone scan its QR code."""
    chasqui.create_session({"id": SESSION})
    qr = chasqui.get_session_qr(SESSION, wait=30)["qr"]
    scan = urllib.request.Request(
        f"{os.environ['SANDBOX_URL']}/phones/{PHONE}/scan", json.dumps({"qr": qr}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(scan, timeout=60) as answer:
        assert answer.status == 200
    after = ""
    while True:  # the log has had every event since the session was made
        page = chasqui.list_events(session_id=[SESSION], after=after, wait=10)
        for event in page["data"]:
            if event["type"] == "session.status" and event["data"]["session"]["state"] == "connected":
                return
        after = page["nextCursor"]


def send_and_receive(chasqui: Chasqui) -> None:
    sent = chasqui.send_message(SESSION, {"to": PEER, "content": text("hello from Python")}, wait=20)
    assert sent["status"] not in ("queued", "failed"), sent["status"]
    # The stream begins with the newest event before the message, so that the answer is surely after it.
    after = [e["id"] for e in chasqui.all_events(session_id=[SESSION]) if e["type"] == "session.status"][-1]
    for event in chasqui.events(after=after, session_id=[SESSION], type=["message.received"]):
        assert event["type"] == "message.received"
        message = event["data"]["message"]
        if message["content"].get("text") == "hello from Python" and message["from"].get("phone"):
            return


def problems(chasqui: Chasqui) -> None:
    try:
        chasqui.get_session("nobody")
        raise AssertionError("an unknown session is no error")
    except ChasquiError as error:
        assert error.code == "session_not_found" and error.status == 404 and error.detail and error.request_id, error
    try:
        chasqui.send_message(SESSION, {"to": "nonsense", "content": text("")})
        raise AssertionError("a message without a text is no error")
    except ChasquiError as error:
        assert error.code == "validation_failed" and error.errors[0].get("location"), error


def pages(chasqui: Chasqui) -> None:
    seen: Set[str] = set()
    for message in chasqui.all_messages(SESSION, limit=1):
        assert message["id"] not in seen, "a message came twice"
        seen.add(message["id"])
    assert len(seen) >= 2, f"{len(seen)} messages, want the one sent and its answer"


def media(chasqui: Chasqui) -> None:
    note = b"a note \x00\xff\r\n--"
    file = chasqui.upload_media(note, "text/plain", 'a "note" ñ.txt')
    assert (file.get("fileName"), file["mimetype"]) == ('a "note" ñ.txt', "text/plain"), file
    with chasqui.get_media_content(file["id"]) as answer:
        assert answer.read() == note
    chasqui.delete_media(file["id"])


def webhook(chasqui: Chasqui) -> None:
    """Has chasqui send a signed test event here."""
    hooks: queue.Queue[Tuple[Dict[str, str], bytes]] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hooks.put((dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = chasqui.create_webhook_endpoint({"url": f"http://127.0.0.1:{server.server_port}/hook", "sessions": [SESSION], "events": ["webhook.test"]})
    try:
        chasqui.test_webhook_endpoint(endpoint["id"], wait=20)
        headers, body = hooks.get(timeout=60)
        event = verify_webhook(headers, body, ["whsec_bm90IHRoaXMgb25l", endpoint["secret"]])
        assert "dataUrl" not in event and event["type"] == "webhook.test", event
        assert chasqui.whole(event)["id"] == event["id"]
        for forged, now in ((body + b" ", None), (body, time.time() + 301)):
            try:
                verify_webhook(headers, forged, endpoint["secret"], now=now)
                raise AssertionError("a forged webhook is believed")
            except WebhookError:
                pass
    finally:
        chasqui.delete_webhook_endpoint(endpoint["id"])
        server.shutdown()


def faults(chasqui: Chasqui) -> None:
    """Meets a server that fails as servers and networks do; who runs this looks at what the server saw."""

    def refused(code: str, status: int, call: Callable[[], object], retry_after: Optional[float] = None) -> None:
        try:
            call()
            raise AssertionError(f"{status} is no error")
        except ChasquiError as error:
            assert (error.code, error.status, error.retry_after) == (code, status, retry_after), error

    assert chasqui.send_message("s", {"to": "1", "content": text("x")})["id"] == "msg_1"
    refused("rate_limited", 429, chasqui.list_sessions, 3600)
    refused("", 403, lambda: chasqui.get_session("proxy"))
    refused("", 302, lambda: chasqui.get_session("elsewhere"))
    change = chasqui.change_chat("s", "1", {"archived": True})
    assert is_queued(change) and change["status"] == "queued"
    ids: List[str] = []

    def follow() -> None:
        with chasqui.events() as events:
            for event in events:
                ids.append(event["id"])

    refused("cursor_expired", 410, follow)
    assert ids == ["evt_1", "evt_3"], ids


def main() -> None:
    chasqui = Chasqui(os.environ["CHASQUI_URL"], os.environ["CHASQUI_API_KEY"])
    link(chasqui)
    send_and_receive(chasqui)
    problems(chasqui)
    pages(chasqui)
    media(chasqui)
    webhook(chasqui)
    faults(Chasqui(os.environ["FAULTS_URL"], "secret"))


if __name__ == "__main__":
    main()
