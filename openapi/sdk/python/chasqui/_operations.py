# Code generated from openapi.yaml by make generate. DO NOT EDIT.
"""The client's methods, one for each operation."""

from __future__ import annotations

from typing import Iterator, List, Literal, Optional, Union, cast

from . import models
from ._send import Answer, Sender, segment


class Operations(Sender):
    """The operations of the API."""

    def accept_group_invite(
        self,
        session_id: str,
        message_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.GroupJoining, models.Change]:
        """Accept a personal invitation to a group. POST /v1/sessions/{sessionId}/messages/{messageId}/accept-invite

        The account joins the group that a message of type groupInvite, which somebody sent it, invites it to. Whoever is in it already has
        accepted.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.GroupJoining, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/accept-invite", wait=wait, idempotency_key=idempotency_key))

    def add_participants(
        self,
        session_id: str,
        group_id: str,
        body: models.AddParticipants,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.ParticipantsAdded, models.Change]:
        """Add participants to a group. POST /v1/sessions/{sessionId}/groups/{groupId}/participants

        Adds people to a group. Who cannot be added is in notAdded, with the reason.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.ParticipantsAdded, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/participants", body=body, wait=wait, idempotency_key=idempotency_key))

    def answer_passkey(
        self,
        session_id: str,
        body: models.AnswerPasskey,
        *,
        wait: Optional[int] = None,
    ) -> models.Passkey:
        """Answer with a passkey. POST /v1/sessions/{sessionId}/passkey/response

        Gives WhatsApp the assertion that the passkey made for request. Mostly the phone has linked the session a moment later. Where the
        answer took longer than 5 minutes, WhatsApp wants codes compared first: the step is confirmation then. passkey_refused: WhatsApp did
        not accept it, and takes another.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Passkey", self.request("POST", f"/v1/sessions/{segment(session_id)}/passkey/response", body=body, wait=wait))

    def approve_join_request(
        self,
        session_id: str,
        group_id: str,
        participant_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.GroupDone, models.Change]:
        """Approve a request to join. POST /v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/approve

        Lets somebody into the group who asked to join it.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.GroupDone, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/join-requests/{segment(participant_id)}/approve", wait=wait, idempotency_key=idempotency_key))

    def ask_pairing_code(
        self,
        session_id: str,
        body: models.AskPairingCode,
        *,
        wait: Optional[int] = None,
    ) -> models.PairingCode:
        """Ask for a pairing code. POST /v1/sessions/{sessionId}/pairing-code

        A code that the account's owner enters on the phone instead of scanning a QR code (WhatsApp, Linked devices, Link a device, Link
        with phone number). The session is started if it does not run. The code is valid until expiresAt, 100 s to 160 s, and ends sooner if
        the session is restarted or moves to another connector, or another code is asked for: then ask again. It takes no Idempotency-Key:
        asked twice, it gives two codes, of which the second counts. QR codes go on beside it; after a wrong code was entered a QR code
        shown by then cannot be scanned any more, and others follow. The code is also the event session.pairing-code.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.PairingCode", self.request("POST", f"/v1/sessions/{segment(session_id)}/pairing-code", body=body, wait=wait))

    def block_contact(
        self,
        session_id: str,
        contact_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Contact, models.Change]:
        """Block a contact. PUT /v1/sessions/{sessionId}/blocklist/{contactId}

        What he sends reaches the account no more, and he does not see when it is online.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Contact, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/blocklist/{segment(contact_id)}", wait=wait))

    def cancel_message(
        self,
        session_id: str,
        message_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Message:
        """Cancel a message. POST /v1/sessions/{sessionId}/messages/{messageId}/cancel

        Cancels a message whose status is scheduled or queued: nothing of it leaves. message.status tells it. One that is being sent, or
        was, is message_not_cancellable; one that is cancelled already is answered as it is.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Message", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/cancel", idempotency_key=idempotency_key))

    def cancel_message_batch(
        self,
        session_id: str,
        batch_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.MessageBatch:
        """Cancel a batch. POST /v1/sessions/{sessionId}/message-batches/{batchId}/cancel

        Cancels those of its messages that are scheduled or queued, and answers what is left. message.status tells of each. A batch that is
        cancelled already is answered as it is.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.MessageBatch", self.request("POST", f"/v1/sessions/{segment(session_id)}/message-batches/{segment(batch_id)}/cancel", idempotency_key=idempotency_key))

    def cancel_replay(
        self,
        replay_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Replay:
        """Cancel a replay. POST /v1/webhook-replays/{replayId}/cancel

        Nothing more is made due by it; what is due already goes out. One that is over stays as it is.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Replay", self.request("POST", f"/v1/webhook-replays/{segment(replay_id)}/cancel", idempotency_key=idempotency_key))

    def change_api_key(
        self,
        key_id: str,
        body: models.ChangeKey,
    ) -> models.APIKey:
        """Change an API key. PATCH /v1/api-keys/{keyId}

        Changes what is given and leaves the rest. Every process knows at once, or after 5 seconds where it could not be told."""
        return cast("models.APIKey", self.request("PATCH", f"/v1/api-keys/{segment(key_id)}", body=body))

    def change_channel(
        self,
        session_id: str,
        channel_id: str,
        body: models.ChangeChannel,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Channel, models.Change]:
        """Change a channel. PATCH /v1/sessions/{sessionId}/channels/{channelId}

        Changes what is given. Only its owner and its admins may.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Channel, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}", body=body, wait=wait))

    def change_chat(
        self,
        session_id: str,
        chat_id: str,
        body: models.ChangeChat,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Chat, models.Change]:
        """Change a chat. PATCH /v1/sessions/{sessionId}/chats/{chatId}

        Archives, pins or mutes a chat, marks it as unread or read, or sets its timer, on all devices of the account. What is left out stays
        as it is.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Chat, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}", body=body, wait=wait))

    def change_contact(
        self,
        session_id: str,
        contact_id: str,
        body: models.ChangeContact,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Contact, models.Change]:
        """Save a contact. PATCH /v1/sessions/{sessionId}/contacts/{contactId}

        Saves somebody in the account's address book, on all its devices, or with an empty name takes his name away. A name that is deleted
        on the phone stays here until it is set again: WhatsApp tells linked devices of it in a form that is not read yet.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Contact, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/contacts/{segment(contact_id)}", body=body, wait=wait))

    def change_group(
        self,
        session_id: str,
        group_id: str,
        body: models.ChangeGroup,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Group, models.Change]:
        """Change a group. PATCH /v1/sessions/{sessionId}/groups/{groupId}

        Changes what is given. WhatsApp takes one thing after the other: what comes before one that it refuses stays changed.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Group, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}", body=body, wait=wait))

    def change_label(
        self,
        session_id: str,
        label_id: str,
        body: models.ChangeLabel,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Label, models.Change]:
        """Change a label. PATCH /v1/sessions/{sessionId}/labels/{labelId}

        Changes a label's name or colour.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Label, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/labels/{segment(label_id)}", body=body, wait=wait))

    def change_participant(
        self,
        session_id: str,
        group_id: str,
        participant_id: str,
        body: models.ChangeParticipant,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.GroupDone, models.Change]:
        """Change the role of a participant. PATCH /v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}

        Makes a participant an admin, or an admin an ordinary participant. Nobody changes who created the group.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.GroupDone, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/participants/{segment(participant_id)}", body=body, wait=wait))

    def change_privacy(
        self,
        session_id: str,
        body: models.ChangePrivacy,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Privacy, models.Change]:
        """Change the account's privacy settings. PATCH /v1/sessions/{sessionId}/privacy

        Changes to whom the account shows what: what is left out stays. The settings are set one after the other, each by itself: where
        WhatsApp refuses one, others may be set already. The answer is what WhatsApp has then.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Privacy, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/privacy", body=body, wait=wait))

    def change_profile(
        self,
        session_id: str,
        body: models.ChangeProfile,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Profile, models.Change]:
        """Change the account's profile. PATCH /v1/sessions/{sessionId}/profile

        Changes what the account shows of itself: what is left out stays. What changes, here or on the phone, is told by contact.updated of
        the account's own JID. What people see beside a message is the name that it was sent under.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Profile, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/profile", body=body, wait=wait))

    def change_session(
        self,
        session_id: str,
        body: models.ChangeSession,
    ) -> models.Session:
        """Change a session. PATCH /v1/sessions/{sessionId}

        Changes its name and settings. What is absent stays as it is."""
        return cast("models.Session", self.request("PATCH", f"/v1/sessions/{segment(session_id)}", body=body))

    def change_webhook_endpoint(
        self,
        endpoint_id: str,
        body: models.ChangeEndpoint,
    ) -> models.Endpoint:
        """Change a webhook endpoint. PATCH /v1/webhook-endpoints/{endpointId}

        Changes what is given and leaves the rest; each event falls wholly before or after the change. state paused holds events back;
        active delivers what was held, and forgives the failures before."""
        return cast("models.Endpoint", self.request("PATCH", f"/v1/webhook-endpoints/{segment(endpoint_id)}", body=body))

    def check_contacts(
        self,
        session_id: str,
        body: models.CheckContacts,
        *,
        wait: Optional[int] = None,
    ) -> models.ContactChecks:
        """Check phone numbers. POST /v1/sessions/{sessionId}/contacts/check

        Asks WhatsApp which of up to 50 numbers have an account, and whose it is. A number of Brazil, Mexico or Argentina that has none as
        it is written is asked for in its other national forms too (Brazil's ninth digit, Mexico's 1, Argentina's 9 and 15): contact.phone
        is the number that has the account. It takes no Idempotency-Key: asked twice, it answers twice. A session that is not connected is a
        problem at once. Checking many numbers that have no account is what spammers do: WhatsApp answers rate_limited, or bans the account.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.ContactChecks", self.request("POST", f"/v1/sessions/{segment(session_id)}/contacts/check", body=body, wait=wait))

    def clear_chat(
        self,
        session_id: str,
        chat_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Chat, models.Change]:
        """Clear a chat. DELETE /v1/sessions/{sessionId}/chats/{chatId}/messages

        Deletes all messages of a chat, here and on the account's devices; nobody else's. The chat stays, and so does what is still to be
        sent.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Chat, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}/messages", wait=wait))

    def confirm_passkey(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Passkey:
        """Confirm that the codes are equal. POST /v1/sessions/{sessionId}/passkey/confirmation

        Says that code is the one that the phone shows, and so ends the step confirmation. If they differ, restart the session instead.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Passkey", self.request("POST", f"/v1/sessions/{segment(session_id)}/passkey/confirmation", wait=wait))

    def create_api_key(
        self,
        body: models.CreateKey,
    ) -> models.CreatedKey:
        """Create an API key. POST /v1/api-keys

        For a program or person that may do less than API_KEY: by scope, for some sessions alone, from some networks, until some time, so
        often a minute. For a key with sessions there are no others: not in lists, events, media or answers. There is no Idempotency-Key
        here: a second key does no harm, and a stored answer would keep the first."""
        return cast("models.CreatedKey", self.request("POST", "/v1/api-keys", body=body))

    def create_channel(
        self,
        session_id: str,
        body: models.CreateChannel,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.Channel, models.Change]:
        """Create a channel. POST /v1/sessions/{sessionId}/channels

        Makes a channel of the account's, and accepts WhatsApp's terms for channels, as its apps do before the first. Repeat a POST without
        an answer with the same Idempotency-Key: WhatsApp itself would make another channel.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.Channel, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/channels", body=body, wait=wait, idempotency_key=idempotency_key))

    def create_group(
        self,
        session_id: str,
        body: models.CreateGroup,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.GroupCreated, models.Change]:
        """Create a group. POST /v1/sessions/{sessionId}/groups

        Makes a group, or a community with its group for announcements. Who cannot be added is in notAdded, with the reason; whom his
        settings keep from being added gets an inviteCode, to be sent to him as a message of type groupInvite. Repeat a POST without an
        answer with the same Idempotency-Key: WhatsApp itself would make another group.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.GroupCreated, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/groups", body=body, wait=wait, idempotency_key=idempotency_key))

    def create_label(
        self,
        session_id: str,
        body: models.CreateLabel,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.Label, models.Change]:
        """Make a label. POST /v1/sessions/{sessionId}/labels

        Makes a label on all devices of the account. Only the apps of business accounts show labels.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.Label, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/labels", body=body, wait=wait, idempotency_key=idempotency_key))

    def create_link(
        self,
        session_id: str,
        body: models.CreateLink,
    ) -> models.Link:
        """Create a link for somebody who links the session. POST /v1/sessions/{sessionId}/links

        A token for one linking, and the page for it: with it, and no key, a customer's page reads the session's QR code, asks for a pairing
        code, and answers for a passkey. It can do nothing else, sees nothing else of the session than its name and state, and ends when the
        session is linked. An earlier link for the session ends too."""
        return cast("models.Link", self.request("POST", f"/v1/sessions/{segment(session_id)}/links", body=body))

    def create_message_batch(
        self,
        session_id: str,
        body: models.CreateBatch,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.MessageBatch:
        """Send many messages. POST /v1/sessions/{sessionId}/message-batches

        Accepts up to 1,000 messages at once: all of them, or none. They go out in their order, each once, and each tells how far it comes
        as any other message. delaySeconds spreads them over time. GET of the batch counts how far they are; list-messages shows them, with
        batchId.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.MessageBatch", self.request("POST", f"/v1/sessions/{segment(session_id)}/message-batches", body=body, idempotency_key=idempotency_key))

    def create_session(
        self,
        body: models.CreateSession,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Session:
        """Create a session. POST /v1/sessions

        Creates a session and starts it, unless start is false. Then read its QR code and scan it with the phone.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Session", self.request("POST", "/v1/sessions", body=body, idempotency_key=idempotency_key))

    def create_stream_ticket(
        self,
        body: models.CreateTicket,
    ) -> models.Ticket:
        """Create a ticket for a browser. POST /v1/stream-tickets

        EventSource, WebSocket and images cannot send a key. Your server, which has the key, asks for a ticket and hands it to the page,
        which passes it as ?ticket=. One for a stream opens one stream within 60 s; for each reconnect ask for another. One for media opens
        all media that the key may read for 10 minutes. There is no Idempotency-Key here: a second ticket does no harm, and a stored answer
        would keep the first."""
        return cast("models.Ticket", self.request("POST", "/v1/stream-tickets", body=body))

    def create_webhook_endpoint(
        self,
        body: models.CreateEndpoint,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.CreatedEndpoint:
        """Create a webhook endpoint. POST /v1/webhook-endpoints

        Events from now on are delivered to it, signed with the secret in the answer.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.CreatedEndpoint", self.request("POST", "/v1/webhook-endpoints", body=body, idempotency_key=idempotency_key))

    def delete_api_key(
        self,
        key_id: str,
    ) -> None:
        """Delete an API key. DELETE /v1/api-keys/{keyId}

        It is valid no more: at once, or after 5 seconds for a process that could not be told. What it has done stays, and the audit log
        names it."""
        self.request("DELETE", f"/v1/api-keys/{segment(key_id)}")

    def delete_channel(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.ChannelDone, models.Change]:
        """Delete a channel. DELETE /v1/sessions/{sessionId}/channels/{channelId}

        Deletes a channel of the account's, for everybody and for good. Only its owner may.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.ChannelDone, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}", wait=wait))

    def delete_channel_message_reaction(
        self,
        session_id: str,
        channel_id: str,
        message_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.PostReacted, models.Change]:
        """Take a reaction to a post back. DELETE /v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction

        Takes the account's reaction to a post back.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.PostReacted, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/messages/{segment(message_id)}/reaction", wait=wait))

    def delete_channel_picture(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Channel, models.Change]:
        """Take a channel's picture away. DELETE /v1/sessions/{sessionId}/channels/{channelId}/picture

        The channel has no picture from then on.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Channel, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/picture", wait=wait))

    def delete_chat(
        self,
        session_id: str,
        chat_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Chat, models.Change]:
        """Delete a chat. DELETE /v1/sessions/{sessionId}/chats/{chatId}

        Deletes a chat with its messages, here and on the account's devices; nobody else's. The answer is the chat as it was. What is still
        to be sent stays, and so does a chat in which something is written meanwhile.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Chat, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}", wait=wait))

    def delete_group_picture(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.GroupPictured, models.Change]:
        """Take a group's picture away. DELETE /v1/sessions/{sessionId}/groups/{groupId}/picture

        The group has no picture from then on.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.GroupPictured, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/picture", wait=wait))

    def delete_label(
        self,
        session_id: str,
        label_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Label, models.Change]:
        """Delete a label. DELETE /v1/sessions/{sessionId}/labels/{labelId}

        Deletes a label, which takes it from every chat. The answer is the label as it was.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Label, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/labels/{segment(label_id)}", wait=wait))

    def delete_media(
        self,
        media_id: str,
    ) -> None:
        """Delete a file. DELETE /v1/media/{mediaId}

        Its bytes go; a message that names it still does."""
        self.request("DELETE", f"/v1/media/{segment(media_id)}")

    def delete_message(
        self,
        session_id: str,
        message_id: str,
        *,
        scope: Optional[Literal["everyone", "me"]] = None,
        wait: Optional[int] = None,
    ) -> Union[models.RevokedData, models.Change]:
        """Delete a message. DELETE /v1/sessions/{sessionId}/messages/{messageId}

        For everybody: an own message, for 60 hours after it was sent, or in a group where the account is an admin anybody's. It is kept
        here with revokedAt. For me: any message, on all devices of the account and here. One that is still to be sent is cancelled instead.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        scope: For whom it is deleted.
        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.RevokedData, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}", query={"scope": scope}, wait=wait))

    def delete_profile_picture(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.ProfilePictured, models.Change]:
        """Take the account's picture away. DELETE /v1/sessions/{sessionId}/profile/picture

        The account has no picture from then on.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.ProfilePictured, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/profile/picture", wait=wait))

    def delete_reaction(
        self,
        session_id: str,
        message_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Message, models.Change]:
        """Take a reaction back. DELETE /v1/sessions/{sessionId}/messages/{messageId}/reaction

        Takes the account's reaction to a message back.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Message, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/reaction", wait=wait))

    def delete_session(
        self,
        session_id: str,
        *,
        unlink: Optional[bool] = None,
    ) -> None:
        """Delete a session. DELETE /v1/sessions/{sessionId}

        Unlinks the account from the phone, unless unlink is false, and removes the session with its messages, chats and contacts; its
        events stay until they expire. 204: it is gone. 202: after 10 s it is still on its way; it is hidden already, its id is not free
        yet, and nothing more has to be done.

        unlink: Whether to unlink the account from the phone too. false: for a session that was exported and goes on elsewhere with the same
        keys, which an unlinking would end."""
        self.request("DELETE", f"/v1/sessions/{segment(session_id)}", query={"unlink": unlink})

    def delete_status_update(
        self,
        session_id: str,
        status_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.RevokedData, models.Change]:
        """Delete a status update. DELETE /v1/sessions/{sessionId}/status-updates/{statusId}

        Deletes an own status update for everybody, while it is shown. It is kept here with revokedAt. One that is still to be posted is
        cancelled instead, by cancel-message.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.RevokedData, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/status-updates/{segment(status_id)}", wait=wait))

    def delete_webhook_endpoint(
        self,
        endpoint_id: str,
    ) -> None:
        """Delete a webhook endpoint. DELETE /v1/webhook-endpoints/{endpointId}

        Nothing more is delivered to it, but for what is being sent at this moment. That of WEBHOOK_URL comes back when the setting changes."""
        self.request("DELETE", f"/v1/webhook-endpoints/{segment(endpoint_id)}")

    def edit_message(
        self,
        session_id: str,
        message_id: str,
        body: models.EditMessage,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Message, models.Change]:
        """Edit a message. PATCH /v1/sessions/{sessionId}/messages/{messageId}

        Changes the text of an own message, or the caption of its file, for 15 minutes after it was sent, or calls an own event off. One
        that is still scheduled or queued is changed before it is sent, at any time, and nobody sees that it was; with sendAt a scheduled
        one gets another time.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Message, models.Change]", self.request("PATCH", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}", body=body, wait=wait))

    def erase_contact(
        self,
        session_id: str,
        contact_id: str,
        *,
        erase: Optional[bool] = None,
    ) -> models.Erased:
        """Erase a contact. DELETE /v1/sessions/{sessionId}/contacts/{contactId}

        Erases somebody from this session's store, for good, as the law of privacy may ask: who he is, the chat with him, his messages in
        groups, with their files, reactions, votes and receipts; what was still to be sent to him or changed about him; and the events that
        name him, with their deliveries. It changes nothing at WhatsApp and on the phone, and needs no connection. erase=true is required.
        It is done in steps, each for good: if it is interrupted or answers unavailable, repeat it until it answers 200, which means that
        all of it is done, and contact.updated tells of it. What stays: an event that was waiting to be logged at that moment and one that
        is just being delivered, until retention takes them; the answers kept for an Idempotency-Key, for 24 hours; what others wrote about
        him; the keys of his encryption, without which he could not write again; and what webhooks have received.

        erase: true: erase him, which cannot be undone."""
        return cast("models.Erased", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/contacts/{segment(contact_id)}", query={"erase": erase}))

    def export_session(
        self,
        session_id: str,
        body: models.ExportSession,
    ) -> Answer:
        """Export a session. POST /v1/sessions/{sessionId}/export

        A file with the session's settings, its device with its keys, its contacts and chats, encrypted with a passphrase: with both, POST
        /v1/session-imports of another installation takes the session over, without a QR code. Messages, events and webhook endpoints are
        not in it. The session must be stopped first, and must never again be started here once it runs there: two with the same keys push
        each other out at WhatsApp, and messages of both get lost. To delete it here, do so with unlink=false, or it is unlinked there too.
        It takes no Idempotency-Key: asked twice, there are two files.

        The caller closes the answer."""
        return self.open("POST", f"/v1/sessions/{segment(session_id)}/export", body=body)

    def fetch_media(
        self,
        body: models.FetchRequest,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.MediaInfo:
        """Take over a file by its URL. POST /v1/media/fetch

        Fetches a file and stores it, as if it had been uploaded. It may take two minutes.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.MediaInfo", self.request("POST", "/v1/media/fetch", body=body, idempotency_key=idempotency_key))

    def follow_channel(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Channel, models.Change]:
        """Follow a channel. PUT /v1/sessions/{sessionId}/channels/{channelId}/subscription

        The account follows the channel, and gets its posts as the event channel.message.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Channel, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/subscription", wait=wait))

    def forward_message(
        self,
        session_id: str,
        message_id: str,
        body: models.ForwardMessage,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.ForwardedMessages:
        """Forward a message. POST /v1/sessions/{sessionId}/messages/{messageId}/forward

        Sends the same content to up to 5 chats, marked as forwarded. Each is a message of its own, accepted and sent as any other. Its file
        is not uploaded again; what it answered and whom it mentioned stays behind.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.ForwardedMessages", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/forward", body=body, idempotency_key=idempotency_key))

    def get_api_key(
        self,
        key_id: str,
    ) -> models.APIKey:
        """Read an API key. GET /v1/api-keys/{keyId}

        What it may do, and when it was last used."""
        return cast("models.APIKey", self.request("GET", f"/v1/api-keys/{segment(key_id)}"))

    def get_business_profile(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.BusinessProfile:
        """Read the account's business profile. GET /v1/sessions/{sessionId}/business-profile

        Asks WhatsApp what the account tells about itself as a business. not_found: it is none.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.BusinessProfile", self.request("GET", f"/v1/sessions/{segment(session_id)}/business-profile", wait=wait))

    def get_change(
        self,
        session_id: str,
        change_id: str,
    ) -> models.Change:
        """Read a change. GET /v1/sessions/{sessionId}/changes/{changeId}

        A change that was accepted: what has become of it, and its result."""
        return cast("models.Change", self.request("GET", f"/v1/sessions/{segment(session_id)}/changes/{segment(change_id)}"))

    def get_channel(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Channel:
        """Read a channel. GET /v1/sessions/{sessionId}/channels/{channelId}

        A channel, also one that the account does not follow, and what the account is to it.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Channel", self.request("GET", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}", wait=wait))

    def get_chat(
        self,
        session_id: str,
        chat_id: str,
    ) -> models.Chat:
        """Read a chat. GET /v1/sessions/{sessionId}/chats/{chatId}

        A chat with its last message."""
        return cast("models.Chat", self.request("GET", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}"))

    def get_contact(
        self,
        session_id: str,
        contact_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Contact:
        """Read a contact. GET /v1/sessions/{sessionId}/contacts/{contactId}

        Who somebody is, by phone number or LID. about and pictureId are asked of WhatsApp, for 3 seconds unless Prefer: wait says
        otherwise; with wait=0, or where there is no answer or no connection, they are what was last known. Somebody whom the session does
        not know is asked for, too.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Contact", self.request("GET", f"/v1/sessions/{segment(session_id)}/contacts/{segment(contact_id)}", wait=wait))

    def get_contact_business_profile(
        self,
        session_id: str,
        contact_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.BusinessProfile:
        """Read a business's profile. GET /v1/sessions/{sessionId}/contacts/{contactId}/business-profile

        Asks WhatsApp what a business tells about itself. not_found: this is no business.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.BusinessProfile", self.request("GET", f"/v1/sessions/{segment(session_id)}/contacts/{segment(contact_id)}/business-profile", wait=wait))

    def get_contact_picture(
        self,
        session_id: str,
        contact_id: str,
        *,
        preview: Optional[bool] = None,
        wait: Optional[int] = None,
    ) -> models.Picture:
        """Read a contact's picture. GET /v1/sessions/{sessionId}/contacts/{contactId}/picture

        Asks WhatsApp where somebody's profile picture is. not_found: there is none, or the account may not see it.

        preview: true: the small form.
        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Picture", self.request("GET", f"/v1/sessions/{segment(session_id)}/contacts/{segment(contact_id)}/picture", query={"preview": preview}, wait=wait))

    def get_delivery(
        self,
        delivery_id: str,
    ) -> models.DeliveryDetail:
        """Read a delivery. GET /v1/webhook-deliveries/{deliveryId}

        A delivery with its event and every attempt: when, how long, what came of it, and what the receiver answered."""
        return cast("models.DeliveryDetail", self.request("GET", f"/v1/webhook-deliveries/{segment(delivery_id)}"))

    def get_event(
        self,
        event_id: str,
        *,
        raw: Optional[bool] = None,
    ) -> models.Event:
        """Read an event. GET /v1/events/{eventId}

        One event, byte for byte as webhooks carry it; with raw=true WhatsApp's own form of its message is added, if that is still stored.

        raw: Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys
        are left out. Absent for a message without one, and where it is very large or the page has too much of it."""
        return cast("models.Event", self.request("GET", f"/v1/events/{segment(event_id)}", query={"raw": raw}))

    def get_group(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Group:
        """Read a group. GET /v1/sessions/{sessionId}/groups/{groupId}

        A group that the account is in, with its participants.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Group", self.request("GET", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}", wait=wait))

    def get_group_invite(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.GroupLink:
        """Read a group's link. GET /v1/sessions/{sessionId}/groups/{groupId}/invite

        The link by which anybody can join the group. Only admins see it, unless the group lets everybody.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.GroupLink", self.request("GET", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/invite", wait=wait))

    def get_health(
        self,
    ) -> models.Health:
        """Is the process alive?. GET /healthz

        Answers as long as the process serves requests. Restart it when this fails."""
        return cast("models.Health", self.request("GET", "/healthz"))

    def get_link(
        self,
    ) -> models.LinkState:
        """Read what a link is for. GET /v1/link

        The session that the link of the request links, and how far it is."""
        return cast("models.LinkState", self.request("GET", "/v1/link"))

    def get_me(
        self,
    ) -> models.Me:
        """Read what this key may do. GET /v1/me

        Whose key it is that asks, its scopes and sessions, and how long it is valid."""
        return cast("models.Me", self.request("GET", "/v1/me"))

    def get_media(
        self,
        media_id: str,
        *,
        presign: Optional[int] = None,
    ) -> models.MediaInfo:
        """Read about a file. GET /v1/media/{mediaId}

        What is known of it, whether its bytes are there, and on request a URL of the object store itself.

        presign: Seconds for which a presigned URL of the object store is wanted."""
        return cast("models.MediaInfo", self.request("GET", f"/v1/media/{segment(media_id)}", query={"presign": presign}))

    def get_media_content(
        self,
        media_id: str,
    ) -> Answer:
        """Read a file's bytes. GET /v1/media/{mediaId}/content

        The bytes themselves, or with Range a part of them. While a received file is on its way from WhatsApp the answer waits for it, up to
        30 s, and is then media_pending. The URL never changes, and neither do its bytes: ETag is their SHA-256.

        The caller closes the answer."""
        return self.open("GET", f"/v1/media/{segment(media_id)}/content")

    def get_message(
        self,
        session_id: str,
        message_id: str,
        *,
        raw: Optional[bool] = None,
    ) -> models.Message:
        """Read a message. GET /v1/sessions/{sessionId}/messages/{messageId}

        A message by its msg_ id or by WhatsApp's.

        raw: Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys
        are left out. Absent for a message without one, and where it is very large or the page has too much of it."""
        return cast("models.Message", self.request("GET", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}", query={"raw": raw}))

    def get_message_batch(
        self,
        session_id: str,
        batch_id: str,
    ) -> models.MessageBatch:
        """Read a batch. GET /v1/sessions/{sessionId}/message-batches/{batchId}

        How far the messages of a batch have come."""
        return cast("models.MessageBatch", self.request("GET", f"/v1/sessions/{segment(session_id)}/message-batches/{segment(batch_id)}"))

    def get_message_media(
        self,
        session_id: str,
        message_id: str,
    ) -> models.MediaInfo:
        """Read about a message's file. GET /v1/sessions/{sessionId}/messages/{messageId}/media

        What GET /v1/media/{mediaId} answers of the file of a message."""
        return cast("models.MediaInfo", self.request("GET", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/media"))

    def get_passkey(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Passkey:
        """Read what WhatsApp asks of a passkey. GET /v1/sessions/{sessionId}/passkey

        WhatsApp asks for the passkey of some accounts after their QR code was scanned or their pairing code entered; the session is
        passkey_required then. Each step is also in the event session.status. The passkey is bound to whatsapp.com: an answer can be made by
        a browser that shows web.whatsapp.com, or by whatever else holds the passkey.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Passkey", self.request("GET", f"/v1/sessions/{segment(session_id)}/passkey", wait=wait))

    def get_poll_results(
        self,
        session_id: str,
        message_id: str,
    ) -> models.PollResults:
        """Read the results of a poll. GET /v1/sessions/{sessionId}/messages/{messageId}/poll-results

        How many chose each option, and who: what has come since the session was linked."""
        return cast("models.PollResults", self.request("GET", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/poll-results"))

    def get_presence(
        self,
        session_id: str,
        contact_id: str,
    ) -> models.Presence:
        """Read a contact's presence. GET /v1/sessions/{sessionId}/presence/{contactId}

        Whether somebody is online, as WhatsApp last told, and whether he is typing to the account. WhatsApp is not asked: it tells of those
        the session is subscribed to. Of everybody else the state is unknown."""
        return cast("models.Presence", self.request("GET", f"/v1/sessions/{segment(session_id)}/presence/{segment(contact_id)}"))

    def get_privacy(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Privacy:
        """Read the account's privacy settings. GET /v1/sessions/{sessionId}/privacy

        Asks WhatsApp to whom the account shows what. No event tells of a setting that the owner changes on the phone.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Privacy", self.request("GET", f"/v1/sessions/{segment(session_id)}/privacy", wait=wait))

    def get_profile(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Profile:
        """Read the account's profile. GET /v1/sessions/{sessionId}/profile

        Asks WhatsApp what the account shows of itself.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Profile", self.request("GET", f"/v1/sessions/{segment(session_id)}/profile", wait=wait))

    def get_readiness(
        self,
    ) -> models.Report:
        """Can it work?. GET /readyz

        Answers 200 when the database is there and has this version's schema, else 503 with what is wrong. Send requests elsewhere when this
        fails. Without S3 it is degraded, and still 200: files wait, all else works."""
        return cast("models.Report", self.request("GET", "/readyz"))

    def get_replay(
        self,
        replay_id: str,
    ) -> models.Replay:
        """Read a replay. GET /v1/webhook-replays/{replayId}

        A replay and how far it is."""
        return cast("models.Replay", self.request("GET", f"/v1/webhook-replays/{segment(replay_id)}"))

    def get_session(
        self,
        session_id: str,
    ) -> models.Session:
        """Read a session. GET /v1/sessions/{sessionId}

        Its state, and with reason why it is in it."""
        return cast("models.Session", self.request("GET", f"/v1/sessions/{segment(session_id)}"))

    def get_session_health(
        self,
        session_id: str,
    ) -> models.AccountHealth:
        """Read how an account fares. GET /v1/sessions/{sessionId}/health

        What WhatsApp restricts and bans accounts for, as far as it can be known from outside: how many people the account writes to first,
        how many of them answer, what was refused. And what messages wait for because settings.sending says so. session.risk tells when the
        level changes. WhatsApp publishes no limits: the levels are chasqui's own judgement."""
        return cast("models.AccountHealth", self.request("GET", f"/v1/sessions/{segment(session_id)}/health"))

    def get_session_qr(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.QR:
        """Read the QR code. GET /v1/sessions/{sessionId}/qr

        The code to scan with the phone (WhatsApp, Linked devices, Link a device). A code is valid until expiresAt, about 20 s, and then
        another follows, until the last one expires: pairing_expired. They go on beside a pairing code. A session that is linked has no
        code: session_already_linked. unavailable: there is none yet; ask again, or with wait.

        wait: Seconds to wait for a code. A session that was just started has one after a second or two."""
        return cast("models.QR", self.request("GET", f"/v1/sessions/{segment(session_id)}/qr", query={"wait": wait}))

    def get_stats(
        self,
        *,
        since: Optional[str] = None,
        step: Optional[int] = None,
    ) -> models.Stats:
        """Read what happened, in steps of time. GET /v1/stats

        For a dashboard: messages, deliveries and how long they took, the queue's lag and the sessions by state, up to now, in steps of
        whole minutes; at most 500 steps, and 30 days back. The last step is not over, and what it counts is up to 5 s old. GET
        /v1/events/stream?stats=true tells the newest every 5 s.

        since: From when on, within 30 days; default: an hour ago. The step in which it lies is the first.
        step: The length of a step in seconds, a multiple of 60. Default: what gives up to 200 steps."""
        return cast("models.Stats", self.request("GET", "/v1/stats", query={"since": since, "step": step}))

    def get_status_update(
        self,
        session_id: str,
        status_id: str,
    ) -> models.Message:
        """Read a status update. GET /v1/sessions/{sessionId}/status-updates/{statusId}

        A status update by its msg_ id or by WhatsApp's, for 30 days. Its status says how far it has come: read is viewed by somebody."""
        return cast("models.Message", self.request("GET", f"/v1/sessions/{segment(session_id)}/status-updates/{segment(status_id)}"))

    def get_version(
        self,
    ) -> models.Version:
        """Which version runs?. GET /v1/version

        The program's version and the API's."""
        return cast("models.Version", self.request("GET", "/v1/version"))

    def get_webhook_endpoint(
        self,
        endpoint_id: str,
    ) -> models.Endpoint:
        """Read a webhook endpoint. GET /v1/webhook-endpoints/{endpointId}

        An endpoint with its state and what waits for it, without its secret."""
        return cast("models.Endpoint", self.request("GET", f"/v1/webhook-endpoints/{segment(endpoint_id)}"))

    def get_webhook_secret(
        self,
        endpoint_id: str,
    ) -> models.EndpointSecret:
        """Read a webhook endpoint's secret. GET /v1/webhook-endpoints/{endpointId}/secret

        whsec_ and random bytes in base64, 32 of them unless it was chosen otherwise, as the libraries of Standard Webhooks take it."""
        return cast("models.EndpointSecret", self.request("GET", f"/v1/webhook-endpoints/{segment(endpoint_id)}/secret"))

    def join_group(
        self,
        session_id: str,
        code: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.GroupJoining, models.Change]:
        """Join a group by a link. POST /v1/sessions/{sessionId}/group-invites/{code}/join

        The account joins the group, or, with pending, waits for an admin's approval. Whoever is in it already has joined.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.GroupJoining, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/group-invites/{segment(code)}/join", wait=wait, idempotency_key=idempotency_key))

    def label_chat(
        self,
        session_id: str,
        chat_id: str,
        label_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Chat, models.Change]:
        """Label a chat. PUT /v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}

        Gives a chat a label.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Chat, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}/labels/{segment(label_id)}", wait=wait))

    def leave_group(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.GroupDone, models.Change]:
        """Leave a group. POST /v1/sessions/{sessionId}/groups/{groupId}/leave

        The account leaves the group; a community with all its groups.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.GroupDone, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/leave", wait=wait, idempotency_key=idempotency_key))

    def link_subgroup(
        self,
        session_id: str,
        group_id: str,
        subgroup_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.GroupDone, models.Change]:
        """Put a group into a community. PUT /v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}

        Makes a group one of a community's. The account must be an admin of both; the group's participants get into the community.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.GroupDone, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/subgroups/{segment(subgroup_id)}", wait=wait))

    def list_api_keys(
        self,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListAPIKey:
        """List API keys. GET /v1/api-keys

        All keys but API_KEY, which is a setting. Those that have expired stay for 30 days.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListAPIKey", self.request("GET", "/v1/api-keys", query={"cursor": cursor, "limit": limit}))

    def all_api_keys(
        self,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.APIKey]:
        """list_api_keys over all pages."""
        while True:
            page = self.list_api_keys(cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_audit_log(
        self,
        *,
        key_id: Optional[str] = None,
        session_id: Optional[str] = None,
        operation: Optional[str] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListAuditEntry:
        """Read the audit log. GET /v1/audit-log

        Every change that was made through the API: who, what, from where; newest first. An entry is written with its change, or not at all.
        What was sent is not in it, nor are requests that were refused. It reaches back 400 days.

        key_id: Only of this key.
        session_id: Only where the path names this session.
        operation: Only this operationId.
        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListAuditEntry", self.request("GET", "/v1/audit-log", query={"keyId": key_id, "sessionId": session_id, "operation": operation, "cursor": cursor, "limit": limit}))

    def all_audit_log(
        self,
        *,
        key_id: Optional[str] = None,
        session_id: Optional[str] = None,
        operation: Optional[str] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.AuditEntry]:
        """list_audit_log over all pages."""
        while True:
            page = self.list_audit_log(key_id=key_id, session_id=session_id, operation=operation, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_blocked(
        self,
        session_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Blocklist:
        """Read the block list. GET /v1/sessions/{sessionId}/blocklist

        Asks WhatsApp whom the account has blocked.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Blocklist", self.request("GET", f"/v1/sessions/{segment(session_id)}/blocklist", wait=wait))

    def list_calls(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListCall:
        """List calls. GET /v1/sessions/{sessionId}/calls

        The calls that came in during the last 30 days, newest first. Those that the owner makes on the phone are not told to linked
        devices.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListCall", self.request("GET", f"/v1/sessions/{segment(session_id)}/calls", query={"cursor": cursor, "limit": limit}))

    def all_calls(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.Call]:
        """list_calls over all pages."""
        while True:
            page = self.list_calls(session_id, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_changes(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        status: Optional[Literal["queued", "done", "failed", "expired"]] = None,
    ) -> models.ListChange:
        """List changes. GET /v1/sessions/{sessionId}/changes

        What is to be changed at WhatsApp for this session, and what was in the last 24 hours, newest first: edits, reactions, settings of
        chats, changes of groups. An operation that changes something answers 200 with its result when WhatsApp has done it, or 202 with the
        change: while the session is not connected it waits, for 24 hours unless the operator chose otherwise, and survives every crash. One
        that fails later is told by the event change.failed.

        cursor: nextCursor of the page before.
        limit: Items a page.
        status: Only those."""
        return cast("models.ListChange", self.request("GET", f"/v1/sessions/{segment(session_id)}/changes", query={"cursor": cursor, "limit": limit, "status": status}))

    def all_changes(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        status: Optional[Literal["queued", "done", "failed", "expired"]] = None,
    ) -> Iterator[models.Change]:
        """list_changes over all pages."""
        while True:
            page = self.list_changes(session_id, cursor=cursor, limit=limit, status=status)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_channel_messages(
        self,
        session_id: str,
        channel_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        wait: Optional[int] = None,
    ) -> models.ListChannelPost:
        """List a channel's posts. GET /v1/sessions/{sessionId}/channels/{channelId}/messages

        Asks WhatsApp for a channel's posts, the newest first, up to 100 a page, with how often each was seen and what it was met with; also
        for a channel that the account does not follow. What is shown is kept from then on: every post has an id, and its file is fetched
        when somebody reads it. What is kept is listed without a connection by GET /v1/sessions/{sessionId}/messages?chatId={channelId}.
        WhatsApp keeps posts for 30 days. A page may hold less than its limit.

        cursor: nextCursor of the page before.
        limit: Items a page.
        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.ListChannelPost", self.request("GET", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/messages", query={"cursor": cursor, "limit": limit}, wait=wait))

    def all_channel_messages(
        self,
        session_id: str,
        channel_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        wait: Optional[int] = None,
    ) -> Iterator[models.ChannelPost]:
        """list_channel_messages over all pages."""
        while True:
            page = self.list_channel_messages(session_id, channel_id, cursor=cursor, limit=limit, wait=wait)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_channels(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        wait: Optional[int] = None,
    ) -> models.ListChannel:
        """List channels. GET /v1/sessions/{sessionId}/channels

        The channels that the account follows or runs, by their ids. WhatsApp is asked for each page. Channels are not found by a name:
        whoever wants to follow one has its link.

        cursor: nextCursor of the page before.
        limit: Items a page.
        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.ListChannel", self.request("GET", f"/v1/sessions/{segment(session_id)}/channels", query={"cursor": cursor, "limit": limit}, wait=wait))

    def all_channels(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        wait: Optional[int] = None,
    ) -> Iterator[models.Channel]:
        """list_channels over all pages."""
        while True:
            page = self.list_channels(session_id, cursor=cursor, limit=limit, wait=wait)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_chat_messages(
        self,
        session_id: str,
        chat_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListMessage:
        """List a chat's messages. GET /v1/sessions/{sessionId}/chats/{chatId}/messages

        The messages of a chat in both directions, newest first: those of the history too.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListMessage", self.request("GET", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}/messages", query={"cursor": cursor, "limit": limit}))

    def all_chat_messages(
        self,
        session_id: str,
        chat_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.Message]:
        """list_chat_messages over all pages."""
        while True:
            page = self.list_chat_messages(session_id, chat_id, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_chats(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        archived: Optional[bool] = None,
        pinned: Optional[bool] = None,
        unread: Optional[bool] = None,
        kind: Optional[Literal["user", "group"]] = None,
        label_id: Optional[str] = None,
        q: Optional[str] = None,
    ) -> models.ListChat:
        """List chats. GET /v1/sessions/{sessionId}/chats

        The session's chats with their last message, the one with the newest first; those without any come last. It is read from what
        chasqui keeps and needs no connection.

        cursor: nextCursor of the page before.
        limit: Items a page.
        archived: Only archived chats, or only others.
        pinned: Only pinned chats, or only others.
        unread: Only chats with unread messages or marked as unread, or only others.
        kind: Only chats with people, or only groups.
        label_id: Only chats with this label.
        q: Only chats whose name or number has this text in it."""
        return cast("models.ListChat", self.request("GET", f"/v1/sessions/{segment(session_id)}/chats", query={"cursor": cursor, "limit": limit, "archived": archived, "pinned": pinned, "unread": unread, "kind": kind, "labelId": label_id, "q": q}))

    def all_chats(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        archived: Optional[bool] = None,
        pinned: Optional[bool] = None,
        unread: Optional[bool] = None,
        kind: Optional[Literal["user", "group"]] = None,
        label_id: Optional[str] = None,
        q: Optional[str] = None,
    ) -> Iterator[models.Chat]:
        """list_chats over all pages."""
        while True:
            page = self.list_chats(session_id, cursor=cursor, limit=limit, archived=archived, pinned=pinned, unread=unread, kind=kind, label_id=label_id, q=q)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_contacts(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        q: Optional[str] = None,
        phone: Optional[str] = None,
        lid: Optional[str] = None,
        blocked: Optional[bool] = None,
        saved: Optional[bool] = None,
    ) -> models.ListContact:
        """List contacts. GET /v1/sessions/{sessionId}/contacts

        The people whom the session knows, by id: those who wrote or were written to, were checked, or stand in the account's address book.

        cursor: nextCursor of the page before.
        limit: Items a page.
        q: Only whose name holds this text, or whose number or LID these digits.
        phone: Only who has this number.
        lid: Only who has this LID, in digits.
        blocked: true: only those whom the account blocked; false: only others.
        saved: true: only those in the account's address book; false: only others."""
        return cast("models.ListContact", self.request("GET", f"/v1/sessions/{segment(session_id)}/contacts", query={"cursor": cursor, "limit": limit, "q": q, "phone": phone, "lid": lid, "blocked": blocked, "saved": saved}))

    def all_contacts(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        q: Optional[str] = None,
        phone: Optional[str] = None,
        lid: Optional[str] = None,
        blocked: Optional[bool] = None,
        saved: Optional[bool] = None,
    ) -> Iterator[models.Contact]:
        """list_contacts over all pages."""
        while True:
            page = self.list_contacts(session_id, cursor=cursor, limit=limit, q=q, phone=phone, lid=lid, blocked=blocked, saved=saved)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_deliveries(
        self,
        *,
        state: Optional[List[Literal["pending", "sending", "succeeded", "exhausted", "cancelled", "held"]]] = None,
        event_id: Optional[str] = None,
        since: Optional[str] = None,
        until: Optional[str] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListDelivery:
        """List the deliveries of all endpoints. GET /v1/webhook-deliveries

        The deliveries of all endpoints together, those of the newest events first. state=exhausted lists what nobody took: the dead
        letters. Those of deleted endpoints are left out.

        state: Only in these states, separated by commas.
        event_id: Only of this event.
        since: Only of events that were made then or later, to the millisecond.
        until: Only of events that were made before then.
        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListDelivery", self.request("GET", "/v1/webhook-deliveries", query={"state": state, "eventId": event_id, "since": since, "until": until, "cursor": cursor, "limit": limit}))

    def all_deliveries(
        self,
        *,
        state: Optional[List[Literal["pending", "sending", "succeeded", "exhausted", "cancelled", "held"]]] = None,
        event_id: Optional[str] = None,
        since: Optional[str] = None,
        until: Optional[str] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.Delivery]:
        """list_deliveries over all pages."""
        while True:
            page = self.list_deliveries(state=state, event_id=event_id, since=since, until=until, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_endpoint_deliveries(
        self,
        endpoint_id: str,
        *,
        type: Optional[List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]] = None,
        state: Optional[List[Literal["pending", "sending", "succeeded", "exhausted", "cancelled", "held"]]] = None,
        event_id: Optional[str] = None,
        since: Optional[str] = None,
        until: Optional[str] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListDelivery:
        """List an endpoint's deliveries. GET /v1/webhook-endpoints/{endpointId}/deliveries

        An endpoint's deliveries, those of the newest events first, for as long as events are kept (30 days unless the operator chose
        otherwise). A page can be empty and have more behind it, when type leaves out much.

        type: Only of events of these types, separated by commas; message.* and the like too.
        state: Only in these states, separated by commas.
        event_id: Only of this event.
        since: Only of events that were made then or later, to the millisecond.
        until: Only of events that were made before then.
        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListDelivery", self.request("GET", f"/v1/webhook-endpoints/{segment(endpoint_id)}/deliveries", query={"type": type, "state": state, "eventId": event_id, "since": since, "until": until, "cursor": cursor, "limit": limit}))

    def all_endpoint_deliveries(
        self,
        endpoint_id: str,
        *,
        type: Optional[List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]] = None,
        state: Optional[List[Literal["pending", "sending", "succeeded", "exhausted", "cancelled", "held"]]] = None,
        event_id: Optional[str] = None,
        since: Optional[str] = None,
        until: Optional[str] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.Delivery]:
        """list_endpoint_deliveries over all pages."""
        while True:
            page = self.list_endpoint_deliveries(endpoint_id, type=type, state=state, event_id=event_id, since=since, until=until, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_event_responses(
        self,
        session_id: str,
        message_id: str,
    ) -> models.EventResponses:
        """Read the answers to an event. GET /v1/sessions/{sessionId}/messages/{messageId}/responses

        Who answered an invitation to an event, and what: what has come since the session was linked."""
        return cast("models.EventResponses", self.request("GET", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/responses"))

    def list_event_types(
        self,
    ) -> models.EventTypes:
        """List the types of event. GET /v1/event-types

        Every type of event of this version, and the wildcards that an endpoint's filter takes beside them. The list only grows."""
        return cast("models.EventTypes", self.request("GET", "/v1/event-types"))

    def list_events(
        self,
        *,
        after: Optional[str] = None,
        last: Optional[int] = None,
        limit: Optional[int] = None,
        type: Optional[List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]] = None,
        session_id: Optional[List[str]] = None,
        chat_kind: Optional[List[Literal["user", "group", "broadcast", "status", "channel"]]] = None,
        from_me: Optional[bool] = None,
        raw: Optional[bool] = None,
        wait: Optional[int] = None,
    ) -> models.EventPage:
        """Read the event log. GET /v1/events

        Everything that happened, oldest first and each event once: begin without after, and then pass each nextCursor as after. Nothing is
        skipped, whatever else happens meanwhile. With last=100 the newest 100 come instead of the oldest. With raw=true the events about a
        message that is still stored have WhatsApp's own form of it in data.message.raw, which neither webhooks nor the log itself hold. An
        event stands in the log a moment after it happened, and for 30 days unless the operator chose otherwise; after an event that is no
        longer kept comes cursor_expired.

        after: An event's id or a nextCursor: read what came after it. Without it: from the oldest event that is kept.
        last: Begin with the newest so many events, those that the filters leave out counted. Not together with after.
        limit: Events a page.
        type: Only these types, separated by commas: a type, message.* for all that begin so, or * for all.
        session_id: Only these sessions, separated by commas. An event that belongs to no session is left out then.
        chat_kind: Only events about chats of these kinds, separated by commas. Events that are about no chat stay.
        from_me: true: of the events about messages only those about the account's own, its receipts included; false: only those about
        messages that came in. Events that are about no message stay.
        raw: Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys
        are left out. Absent for a message without one, and where it is very large or the page has too much of it.
        wait: Seconds to wait for an event when there is none."""
        return cast("models.EventPage", self.request("GET", "/v1/events", query={"after": after, "last": last, "limit": limit, "type": type, "sessionId": session_id, "chatKind": chat_kind, "fromMe": from_me, "raw": raw, "wait": wait}))

    def all_events(
        self,
        *,
        after: Optional[str] = None,
        last: Optional[int] = None,
        limit: Optional[int] = None,
        type: Optional[List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]] = None,
        session_id: Optional[List[str]] = None,
        chat_kind: Optional[List[Literal["user", "group", "broadcast", "status", "channel"]]] = None,
        from_me: Optional[bool] = None,
        raw: Optional[bool] = None,
        wait: Optional[int] = None,
    ) -> Iterator[models.Event]:
        """list_events over all pages."""
        while True:
            page = self.list_events(after=after, last=last, limit=limit, type=type, session_id=session_id, chat_kind=chat_kind, from_me=from_me, raw=raw, wait=wait)
            yield from page["data"]
            if not page["hasMore"]:
                return
            after = page["nextCursor"]

    def list_groups(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        wait: Optional[int] = None,
    ) -> models.ListGroup:
        """List groups. GET /v1/sessions/{sessionId}/groups

        The groups and communities that the account is in, without their participants, the greatest id first. WhatsApp is asked for the
        first page, and always sends them all; further pages are of the same answer for a minute. A page may hold less than its limit.

        cursor: nextCursor of the page before.
        limit: Items a page.
        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.ListGroup", self.request("GET", f"/v1/sessions/{segment(session_id)}/groups", query={"cursor": cursor, "limit": limit}, wait=wait))

    def all_groups(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        wait: Optional[int] = None,
    ) -> Iterator[models.Group]:
        """list_groups over all pages."""
        while True:
            page = self.list_groups(session_id, cursor=cursor, limit=limit, wait=wait)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_join_requests(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.JoinRequests:
        """List who wants to join a group. GET /v1/sessions/{sessionId}/groups/{groupId}/join-requests

        Who waits for an admin's approval, where joining needs one.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.JoinRequests", self.request("GET", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/join-requests", wait=wait))

    def list_labels(
        self,
        session_id: str,
    ) -> models.Labels:
        """List labels. GET /v1/sessions/{sessionId}/labels

        The labels of a business account, all of them in one answer."""
        return cast("models.Labels", self.request("GET", f"/v1/sessions/{segment(session_id)}/labels"))

    def list_media(
        self,
        *,
        status: Optional[List[Literal["pending", "ready", "failed", "expired"]]] = None,
        kind: Optional[List[Literal["image", "video", "audio", "document"]]] = None,
        session_id: Optional[List[str]] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListMediaInfo:
        """List files. GET /v1/media

        The files of messages that came in and those that were uploaded, newest first: what GET /v1/media/{mediaId} shows. A key for some
        sessions sees what their messages brought or send, and what was uploaded with it.

        status: Only in these statuses, separated by commas.
        kind: Only of these kinds, separated by commas.
        session_id: Only what messages of these sessions brought or send, separated by commas.
        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListMediaInfo", self.request("GET", "/v1/media", query={"status": status, "kind": kind, "sessionId": session_id, "cursor": cursor, "limit": limit}))

    def all_media(
        self,
        *,
        status: Optional[List[Literal["pending", "ready", "failed", "expired"]]] = None,
        kind: Optional[List[Literal["image", "video", "audio", "document"]]] = None,
        session_id: Optional[List[str]] = None,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.MediaInfo]:
        """list_media over all pages."""
        while True:
            page = self.list_media(status=status, kind=kind, session_id=session_id, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_messages(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        raw: Optional[bool] = None,
        q: Optional[str] = None,
        chat_id: Optional[str] = None,
        since: Optional[str] = None,
        until: Optional[str] = None,
        type: Optional[str] = None,
        direction: Optional[Literal["incoming", "outgoing"]] = None,
        status: Optional[Literal["scheduled", "queued", "sending", "sent", "delivered", "read", "played", "failed", "cancelled", "expired"]] = None,
        batch_id: Optional[str] = None,
    ) -> models.ListMessage:
        """List messages, or search them. GET /v1/sessions/{sessionId}/messages

        The session's messages in both directions, newest first; those that match every filter given. With q they are searched for words, of
        which the index knows the first 16,384 characters of each message. What takes longer than 5 s is unavailable, and wants narrower
        filters.

        cursor: nextCursor of the page before.
        limit: Items a page.
        raw: Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys
        are left out. Absent for a message without one, and where it is very large or the page has too much of it.
        q: Only those with all these words in their text, caption, file name, or question of a poll; the last word may be the beginning of
        one. In quotes: one after the other; or: one of both; -: without. Case does not matter, accents do.
        chat_id: Only this chat: a phone number or a JID. Status updates are in none but status@broadcast: without it they are left out.
        since: Only those with a timestamp of then or later.
        until: Only those with a timestamp before then.
        type: Only this type of content.
        direction: Only those received, or sent.
        status: Only with this status.
        batch_id: Only those of a batch."""
        return cast("models.ListMessage", self.request("GET", f"/v1/sessions/{segment(session_id)}/messages", query={"cursor": cursor, "limit": limit, "raw": raw, "q": q, "chatId": chat_id, "since": since, "until": until, "type": type, "direction": direction, "status": status, "batchId": batch_id}))

    def all_messages(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        raw: Optional[bool] = None,
        q: Optional[str] = None,
        chat_id: Optional[str] = None,
        since: Optional[str] = None,
        until: Optional[str] = None,
        type: Optional[str] = None,
        direction: Optional[Literal["incoming", "outgoing"]] = None,
        status: Optional[Literal["scheduled", "queued", "sending", "sent", "delivered", "read", "played", "failed", "cancelled", "expired"]] = None,
        batch_id: Optional[str] = None,
    ) -> Iterator[models.Message]:
        """list_messages over all pages."""
        while True:
            page = self.list_messages(session_id, cursor=cursor, limit=limit, raw=raw, q=q, chat_id=chat_id, since=since, until=until, type=type, direction=direction, status=status, batch_id=batch_id)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_participants(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.ParticipantsShown:
        """List the participants of a group. GET /v1/sessions/{sessionId}/groups/{groupId}/participants

        Who is in the group, with phone and LID where WhatsApp tells both.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.ParticipantsShown", self.request("GET", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/participants", wait=wait))

    def list_receipts(
        self,
        session_id: str,
        message_id: str,
    ) -> models.MessageReceipts:
        """Read a message's receipts. GET /v1/sessions/{sessionId}/messages/{messageId}/receipts

        Who has received, read and played a message that the session sent, and when: in a group each participant. A message that was
        received has none."""
        return cast("models.MessageReceipts", self.request("GET", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/receipts"))

    def list_replays(
        self,
        endpoint_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListReplay:
        """List an endpoint's replays. GET /v1/webhook-endpoints/{endpointId}/replays

        The replays of an endpoint, newest first, for as long as events are kept.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListReplay", self.request("GET", f"/v1/webhook-endpoints/{segment(endpoint_id)}/replays", query={"cursor": cursor, "limit": limit}))

    def all_replays(
        self,
        endpoint_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.Replay]:
        """list_replays over all pages."""
        while True:
            page = self.list_replays(endpoint_id, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_session_log(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListLogEntry:
        """Read a session's log. GET /v1/sessions/{sessionId}/log

        What happened to the session, newest first: its states with their reasons and WhatsApp's codes, what linked it and what came to
        nothing, restrictions, and which settings were changed, without their values. The newest 500 entries are kept, and go with the
        session.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListLogEntry", self.request("GET", f"/v1/sessions/{segment(session_id)}/log", query={"cursor": cursor, "limit": limit}))

    def all_session_log(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.LogEntry]:
        """list_session_log over all pages."""
        while True:
            page = self.list_session_log(session_id, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_sessions(
        self,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListSession:
        """List sessions. GET /v1/sessions

        All sessions, newest first. Those being deleted are left out.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListSession", self.request("GET", "/v1/sessions", query={"cursor": cursor, "limit": limit}))

    def all_sessions(
        self,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.Session]:
        """list_sessions over all pages."""
        while True:
            page = self.list_sessions(cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_settings(
        self,
    ) -> models.SettingList:
        """List the settings in force. GET /v1/settings

        What the api process that answers runs by, without secrets. They are set in its environment and change with its next start; other
        roles have their own."""
        return cast("models.SettingList", self.request("GET", "/v1/settings"))

    def list_status_updates(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        from_me: Optional[bool] = None,
        contact_id: Optional[str] = None,
    ) -> models.ListMessage:
        """List status updates. GET /v1/sessions/{sessionId}/status-updates

        The status updates that are shown now, of the account and of its contacts, newest first: those of the last 24 hours that were not
        deleted, and own ones that are still to be posted. Older ones can be read by their ids for 30 days, then they go, with their files.
        It is read from what chasqui keeps and needs no connection.

        cursor: nextCursor of the page before.
        limit: Items a page.
        from_me: Only own status updates, or only those of contacts.
        contact_id: Only those of this contact: a phone number or a JID."""
        return cast("models.ListMessage", self.request("GET", f"/v1/sessions/{segment(session_id)}/status-updates", query={"cursor": cursor, "limit": limit, "fromMe": from_me, "contactId": contact_id}))

    def all_status_updates(
        self,
        session_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
        from_me: Optional[bool] = None,
        contact_id: Optional[str] = None,
    ) -> Iterator[models.Message]:
        """list_status_updates over all pages."""
        while True:
            page = self.list_status_updates(session_id, cursor=cursor, limit=limit, from_me=from_me, contact_id=contact_id)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_status_viewers(
        self,
        session_id: str,
        status_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListStatusViewer:
        """List a status update's viewers. GET /v1/sessions/{sessionId}/status-updates/{statusId}/viewers

        Who has viewed an own status update, and when: the last first. Those who keep read receipts to themselves are not among them. One of
        a contact has none.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListStatusViewer", self.request("GET", f"/v1/sessions/{segment(session_id)}/status-updates/{segment(status_id)}/viewers", query={"cursor": cursor, "limit": limit}))

    def all_status_viewers(
        self,
        session_id: str,
        status_id: str,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.StatusViewer]:
        """list_status_viewers over all pages."""
        while True:
            page = self.list_status_viewers(session_id, status_id, cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def list_subgroups(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Subgroups:
        """List the groups of a community. GET /v1/sessions/{sessionId}/groups/{groupId}/subgroups

        All groups of a community, also those that the account is not in.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Subgroups", self.request("GET", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/subgroups", wait=wait))

    def list_webhook_endpoints(
        self,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> models.ListEndpoint:
        """List webhook endpoints. GET /v1/webhook-endpoints

        All endpoints, newest first, without their secrets. The one of WEBHOOK_URL is the last.

        cursor: nextCursor of the page before.
        limit: Items a page."""
        return cast("models.ListEndpoint", self.request("GET", "/v1/webhook-endpoints", query={"cursor": cursor, "limit": limit}))

    def all_webhook_endpoints(
        self,
        *,
        cursor: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> Iterator[models.Endpoint]:
        """list_webhook_endpoints over all pages."""
        while True:
            page = self.list_webhook_endpoints(cursor=cursor, limit=limit)
            yield from page["data"]
            cursor = page.get("nextCursor")
            if not page["hasMore"] or cursor is None:
                return

    def logout_session(
        self,
        session_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Session:
        """Log a session out. POST /v1/sessions/{sessionId}/logout

        Unlinks the account from the phone. The session and its messages stay; start it to link it anew. On one that is not linked it does
        nothing. The answer comes at once; state follows, and each change of it is an event session.status.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Session", self.request("POST", f"/v1/sessions/{segment(session_id)}/logout", idempotency_key=idempotency_key))

    def look_up_channel_invite(
        self,
        session_id: str,
        code: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Channel:
        """Look up a channel's link. GET /v1/sessions/{sessionId}/channel-invites/{code}

        The channel that a link leads to.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Channel", self.request("GET", f"/v1/sessions/{segment(session_id)}/channel-invites/{segment(code)}", wait=wait))

    def look_up_group_invite(
        self,
        session_id: str,
        code: str,
        *,
        wait: Optional[int] = None,
    ) -> models.Group:
        """Look up a link. GET /v1/sessions/{sessionId}/group-invites/{code}

        The group that a link leads to, without joining it and without its participants.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Group", self.request("GET", f"/v1/sessions/{segment(session_id)}/group-invites/{segment(code)}", wait=wait))

    def mark_messages_read(
        self,
        session_id: str,
        body: models.MarkRead,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.MessagesRead, models.Change]:
        """Mark messages as read. POST /v1/sessions/{sessionId}/messages/mark-read

        Tells the senders of messages that they were read, unless the account keeps that to itself, and the account's other devices.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.MessagesRead, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages/mark-read", body=body, wait=wait, idempotency_key=idempotency_key))

    def mute_channel(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Channel, models.Change]:
        """Mute a channel. PUT /v1/sessions/{sessionId}/channels/{channelId}/mute

        The owner's phone does not notify of the channel's posts. Events go on.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Channel, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/mute", wait=wait))

    def pin_message(
        self,
        session_id: str,
        message_id: str,
        body: models.PinMessage,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Message, models.Change]:
        """Pin a message. PUT /v1/sessions/{sessionId}/messages/{messageId}/pin

        Pins a message at the top of its chat, for everybody in it. In a group WhatsApp may leave that to admins.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Message, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/pin", body=body, wait=wait))

    def post_status_update(
        self,
        session_id: str,
        body: models.PostStatus,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.Message:
        """Post a status update. POST /v1/sessions/{sessionId}/status-updates

        Accepts a status update and posts it in the background, in the order of the session's messages, as send-message does: to those
        contacts of the account's address book whom its status privacy, set on the phone, lets see it. It is a message in the chat
        status@broadcast: message.sent and message.status tell of it, cancel-message cancels it while it is scheduled or queued, and a
        failure has the same codes. With Prefer: wait=N (up to 30) the answer waits: 200 once WhatsApp has it.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Message", self.request("POST", f"/v1/sessions/{segment(session_id)}/status-updates", body=body, wait=wait, idempotency_key=idempotency_key))

    def post_to_channel(
        self,
        session_id: str,
        channel_id: str,
        body: models.PostToChannel,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.Message:
        """Post to a channel. POST /v1/sessions/{sessionId}/channels/{channelId}/messages

        Accepts a post for a channel that the account runs, and posts it in the background, in order with the session's messages: it
        survives every crash from here on, and followers see it once. It is a message like any other, with the channel as its chat: read it,
        wait for it and cancel it, edit or delete it (for up to 30 days) by /v1/sessions/{sessionId}/messages/{messageId}; message.sent and
        message.status tell of it. not_channel_admin: the account may not post there.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Message", self.request("POST", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/messages", body=body, wait=wait, idempotency_key=idempotency_key))

    def react_to_channel_message(
        self,
        session_id: str,
        channel_id: str,
        message_id: str,
        body: models.SetReaction,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.PostReacted, models.Change]:
        """React to a post. PUT /v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction

        Sets the account's reaction to a post of a channel that it follows, in place of the one before.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.PostReacted, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/messages/{segment(message_id)}/reaction", body=body, wait=wait))

    def read_chat(
        self,
        session_id: str,
        chat_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.Chat, models.Change]:
        """Mark a chat as read. POST /v1/sessions/{sessionId}/chats/{chatId}/read

        Reads all that is unread in a chat: the senders get read receipts, unless the account's privacy keeps them back, and the owner's
        phone shows the chat as read.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.Chat, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}/read", wait=wait, idempotency_key=idempotency_key))

    def reject_call(
        self,
        session_id: str,
        call_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.Call, models.Change]:
        """Reject a call. POST /v1/sessions/{sessionId}/calls/{callId}/reject

        Rejects a call that rings, on all devices of the account. It does not wait behind other changes. call_over: it rings no more; so
        fails, too, what was accepted while the session was not connected and came too late. The session's setting calls rejects every call
        by itself.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.Call, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/calls/{segment(call_id)}/reject", wait=wait, idempotency_key=idempotency_key))

    def reject_join_request(
        self,
        session_id: str,
        group_id: str,
        participant_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.GroupDone, models.Change]:
        """Reject a request to join. POST /v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/reject

        Ends somebody's request to join the group.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.GroupDone, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/join-requests/{segment(participant_id)}/reject", wait=wait, idempotency_key=idempotency_key))

    def remove_participant(
        self,
        session_id: str,
        group_id: str,
        participant_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.GroupDone, models.Change]:
        """Remove a participant from a group. DELETE /v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}

        Removes somebody from the group, who cannot come back by its link.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.GroupDone, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/participants/{segment(participant_id)}", wait=wait))

    def replay_webhook_endpoint(
        self,
        endpoint_id: str,
        body: models.CreateReplay,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Replay:
        """Send an endpoint's deliveries of a time again. POST /v1/webhook-endpoints/{endpointId}/replay

        Makes due again what an endpoint has not got, by the time of the events and what became of them: after an outage of the receiver,
        since=when it began. Each goes out under the same webhook-id, with all its attempts before it, oldest first, and in the endpoint's
        order among what is sent again. It is done little by little, so that what happens meanwhile is hardly delayed: an endpoint never has
        more than 1000 deliveries due because of it. An endpoint has one replay at a time: webhook_replay_running names the one that runs,
        which can be cancelled.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Replay", self.request("POST", f"/v1/webhook-endpoints/{segment(endpoint_id)}/replay", body=body, idempotency_key=idempotency_key))

    def request_history(
        self,
        session_id: str,
        chat_id: str,
        body: models.AskHistory,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.HistoryAsked, models.Change]:
        """Ask the phone for older messages. POST /v1/sessions/{sessionId}/chats/{chatId}/history-sync

        Asks the owner's phone for a chat's messages before one. They come as history, without an event each: the event history.synced with
        the chat's chatId tells that they are there, once the phone has answered, which it does when it is on, or, with missing, that they
        cannot be had.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.HistoryAsked, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}/history-sync", body=body, wait=wait, idempotency_key=idempotency_key))

    def respond_to_event(
        self,
        session_id: str,
        message_id: str,
        body: models.Respond,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.ResponseData, models.Change]:
        """Answer an invitation to an event. POST /v1/sessions/{sessionId}/messages/{messageId}/respond

        Says whether the account comes to an event, in place of its answer before.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.ResponseData, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/respond", body=body, wait=wait, idempotency_key=idempotency_key))

    def restart_session(
        self,
        session_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Session:
        """Restart a session. POST /v1/sessions/{sessionId}/restart

        Disconnects and connects again; also starts a session that is stopped or has failed. The answer comes at once; state follows, and
        each change of it is an event session.status.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Session", self.request("POST", f"/v1/sessions/{segment(session_id)}/restart", idempotency_key=idempotency_key))

    def retry_delivery(
        self,
        delivery_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Delivery:
        """Send a delivery again. POST /v1/webhook-deliveries/{deliveryId}/retry

        Whatever its state, also one that succeeded: it is due now, with all its attempts before it, under the same webhook-id. It goes out
        at once and out of its order, since later events have gone already. One that is on its way at this moment is answered as it is.
        While its endpoint is paused or disabled it is held. delivery_expired: its event is no longer kept, or its endpoint was deleted. To
        send many again, see POST /v1/webhook-endpoints/{endpointId}/replay.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Delivery", self.request("POST", f"/v1/webhook-deliveries/{segment(delivery_id)}/retry", idempotency_key=idempotency_key))

    def retry_message_media(
        self,
        session_id: str,
        message_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.MediaInfo:
        """Ask the phone for a file again. POST /v1/sessions/{sessionId}/messages/{messageId}/media/retry

        Asks the owner's phone to upload a received file again that could not be had, because WhatsApp keeps files for some weeks only. It
        is asked when the session is connected, and answers when it is on; the file's status is pending until then, or until media.failed
        tells that it could not be had. A file that is there is answered as it is.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.MediaInfo", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/media/retry", idempotency_key=idempotency_key))

    def rotate_api_key(
        self,
        key_id: str,
        body: models.RotateKey,
    ) -> models.CreatedKey:
        """Rotate an API key. POST /v1/api-keys/{keyId}/rotate

        A new key takes its place, with the same id, quota and rights. The key as it was stays valid for overlapSeconds; one from an earlier
        rotation does not."""
        return cast("models.CreatedKey", self.request("POST", f"/v1/api-keys/{segment(key_id)}/rotate", body=body))

    def rotate_group_invite(
        self,
        session_id: str,
        group_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.GroupLink, models.Change]:
        """Replace a group's link. POST /v1/sessions/{sessionId}/groups/{groupId}/invite/rotate

        Makes a new link. The one before leads nowhere from then on. Where WhatsApp's answer was lost another is made: the one in the answer
        holds.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.GroupLink, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/invite/rotate", wait=wait, idempotency_key=idempotency_key))

    def rotate_webhook_secret(
        self,
        endpoint_id: str,
        body: models.RotateSecret,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.RotatedSecret:
        """Change a webhook endpoint's secret. POST /v1/webhook-endpoints/{endpointId}/secret/rotate

        The new secret signs from the next attempt on, those of events that have failed before included. The present one signs beside it for
        overlapHours, and secrets from earlier rotations until their own time, so that a receiver can be changed without missing anything.
        At most 5 earlier ones sign: a rotation that would keep a sixth is refused, and goes through with overlapHours 0. After a leak take
        0 and change the receiver at once: an earlier secret that still signs does no harm, but a receiver that accepts it does.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.RotatedSecret", self.request("POST", f"/v1/webhook-endpoints/{segment(endpoint_id)}/secret/rotate", body=body, idempotency_key=idempotency_key))

    def send_message(
        self,
        session_id: str,
        body: models.SendMessage,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.Message:
        """Send a message. POST /v1/sessions/{sessionId}/messages

        Accepts a message and sends it in the background, in order: it survives every crash from here on, and the recipient sees it once. It
        is accepted in every state of the session but logged_out and banned, and waits until the session is connected, or until its
        expiresAt. What ends otherwise says why in error.code, here and in message.status: recipient_not_on_whatsapp, account_restricted
        (WhatsApp does not let the account write to this recipient now), account_banned and session_logged_out (before it was sent),
        rate_limited (WhatsApp took none of the account's messages for 5 minutes), whatsapp_rejected, whatsapp_timeout (no answer: it may
        have been delivered all the same), media_expired, internal_error. A message that expired has a code only if it may have been
        delivered. With Prefer: wait=N (up to 30) the answer waits: 200 once WhatsApp has it, 202 when N seconds are over, or the problem
        that it failed with, with messageId.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Message", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages", body=body, wait=wait, idempotency_key=idempotency_key))

    def set_channel_picture(
        self,
        session_id: str,
        channel_id: str,
        body: models.SetPicture,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Channel, models.Change]:
        """Set a channel's picture. PUT /v1/sessions/{sessionId}/channels/{channelId}/picture

        Gives the channel a picture, in place of the one before.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Channel, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/picture", body=body, wait=wait))

    def set_group_picture(
        self,
        session_id: str,
        group_id: str,
        body: models.SetPicture,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.GroupPictured, models.Change]:
        """Set a group's picture. PUT /v1/sessions/{sessionId}/groups/{groupId}/picture

        Gives the group a picture, in place of the one before. Where WhatsApp's answer was lost it is set again, which the group may see as
        a second change.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.GroupPictured, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/picture", body=body, wait=wait))

    def set_presence(
        self,
        session_id: str,
        body: models.SetPresence,
    ) -> models.OwnPresence:
        """Set the own presence. PUT /v1/sessions/{sessionId}/presence

        Says whether the account is online while the session is connected, now and after every reconnect. It is the session's setting
        presence, which PATCH of the session sets as well. By default it is unavailable, so that the owner's phone notifies of what comes
        in; while it is available, the phone may keep silent, and senders see two ticks from this device. An account that shows typing is
        available for that time, and for 25 seconds more, and then again what is set here."""
        return cast("models.OwnPresence", self.request("PUT", f"/v1/sessions/{segment(session_id)}/presence", body=body))

    def set_profile_picture(
        self,
        session_id: str,
        body: models.SetPicture,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.ProfilePictured, models.Change]:
        """Set the account's picture. PUT /v1/sessions/{sessionId}/profile/picture

        Gives the account a picture, in place of the one before. Set again, others see it come again.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.ProfilePictured, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/profile/picture", body=body, wait=wait))

    def set_reaction(
        self,
        session_id: str,
        message_id: str,
        body: models.SetReaction,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Message, models.Change]:
        """React to a message. PUT /v1/sessions/{sessionId}/messages/{messageId}/reaction

        Sets the account's reaction to a message, in place of the one before.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Message, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/reaction", body=body, wait=wait))

    def set_typing(
        self,
        session_id: str,
        chat_id: str,
        body: models.SetTyping,
        *,
        wait: Optional[int] = None,
    ) -> models.Typing:
        """Show typing in a chat. PUT /v1/sessions/{sessionId}/chats/{chatId}/typing

        Shows in a chat that the account is typing or recording, or has stopped. WhatsApp's apps show it for up to 25 s unless it is said
        again, and nobody keeps it for later: a session that is not connected is a problem at once. The account is online meanwhile, and its
        phone does not notify. To show it before a message, send that with typingSeconds.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.Typing", self.request("PUT", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}/typing", body=body, wait=wait))

    def simulate_message(
        self,
        session_id: str,
        body: models.SimulateMessage,
    ) -> models.SimulatedMessage:
        """Receive a message of a simulated contact. POST /v1/sessions/{sessionId}/simulated-message

        For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated contact
        writes to the session's account. WhatsApp has the message when this answers; the session receives it a moment later, or once it is
        connected again, as message.received. It takes no Idempotency-Key: asked twice, the contact writes twice."""
        return cast("models.SimulatedMessage", self.request("POST", f"/v1/sessions/{segment(session_id)}/simulated-message", body=body))

    def simulate_scan(
        self,
        session_id: str,
        body: models.SimulateScan,
    ) -> models.SimulatedScan:
        """Link the session with a simulated phone. POST /v1/sessions/{sessionId}/simulated-scan

        For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated phone scans
        the session's QR code, for which it waits up to 30 s; it enters the pairing code instead where the session shows one for this phone,
        and answers for its passkey where WhatsApp asks for it. The session is connected a moment later. It takes no Idempotency-Key: asked
        twice, the second is told session_already_linked."""
        return cast("models.SimulatedScan", self.request("POST", f"/v1/sessions/{segment(session_id)}/simulated-scan", body=body))

    def star_message(
        self,
        session_id: str,
        message_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Message, models.Change]:
        """Star a message. PUT /v1/sessions/{sessionId}/messages/{messageId}/star

        Stars a message on all devices of the account; nobody else sees it.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Message, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/star", wait=wait))

    def start_session(
        self,
        session_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Session:
        """Start a session. POST /v1/sessions/{sessionId}/start

        Wants the session to run: it connects, or shows a QR code where it is not linked. On one that runs it does nothing. The answer comes
        at once; state follows, and each change of it is an event session.status.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Session", self.request("POST", f"/v1/sessions/{segment(session_id)}/start", idempotency_key=idempotency_key))

    def stop_session(
        self,
        session_id: str,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.Session:
        """Stop a session. POST /v1/sessions/{sessionId}/stop

        Wants the session to rest: it disconnects, stays linked, and receives nothing until it is started. The answer comes at once; state
        follows, and each change of it is an event session.status.

        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.Session", self.request("POST", f"/v1/sessions/{segment(session_id)}/stop", idempotency_key=idempotency_key))

    def subscribe_presence(
        self,
        session_id: str,
        contact_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Presence, models.Change]:
        """Subscribe to a contact's presence. PUT /v1/sessions/{sessionId}/presence/{contactId}/subscription

        Lets WhatsApp tell whether somebody is online: each change is an event presence.updated. It holds until it is taken back, over
        reconnects, for up to 1,000 people a session. WhatsApp tells nothing while the account itself is unavailable: set its presence to
        available. Nor does it tell of people whose privacy hides it from this account, of anybody's last seen time while the account hides
        its own, and often of strangers: those who wrote to the account lately have given it a token for that, which is sent along. It does
        not say which of these is the case: the state then stays unknown.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Presence, models.Change]", self.request("PUT", f"/v1/sessions/{segment(session_id)}/presence/{segment(contact_id)}/subscription", wait=wait))

    def test_webhook_endpoint(
        self,
        endpoint_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.EndpointTest:
        """Test a webhook endpoint. POST /v1/webhook-endpoints/{endpointId}/test

        Publishes an event webhook.test that goes to this endpoint alone, whatever its filters say, signed and repeated as every event;
        endpoints of the format legacy get the message in it. With Prefer: wait=N (up to 30) the answer waits: 200 with what came of the
        first attempt, or 202 when there was none within N seconds, as while the breaker is open. An endpoint that is paused or disabled is
        not tested: set its state to active first, which also forgives its failures.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("models.EndpointTest", self.request("POST", f"/v1/webhook-endpoints/{segment(endpoint_id)}/test", wait=wait, idempotency_key=idempotency_key))

    def unblock_contact(
        self,
        session_id: str,
        contact_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Contact, models.Change]:
        """Unblock a contact. DELETE /v1/sessions/{sessionId}/blocklist/{contactId}

        Takes somebody off the block list.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Contact, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/blocklist/{segment(contact_id)}", wait=wait))

    def unfollow_channel(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.ChannelDone, models.Change]:
        """Unfollow a channel. DELETE /v1/sessions/{sessionId}/channels/{channelId}/subscription

        The account follows the channel no more. Its owner cannot leave it.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.ChannelDone, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/subscription", wait=wait))

    def unlabel_chat(
        self,
        session_id: str,
        chat_id: str,
        label_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Chat, models.Change]:
        """Take a label from a chat. DELETE /v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}

        Takes a label from a chat.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Chat, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/chats/{segment(chat_id)}/labels/{segment(label_id)}", wait=wait))

    def unlink_subgroup(
        self,
        session_id: str,
        group_id: str,
        subgroup_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.GroupDone, models.Change]:
        """Take a group out of a community. DELETE /v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}

        The group goes on without the community, whose participants stay.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.GroupDone, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/groups/{segment(group_id)}/subgroups/{segment(subgroup_id)}", wait=wait))

    def unmute_channel(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Channel, models.Change]:
        """Unmute a channel. DELETE /v1/sessions/{sessionId}/channels/{channelId}/mute

        The owner's phone notifies of the channel's posts.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Channel, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/mute", wait=wait))

    def unpin_message(
        self,
        session_id: str,
        message_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Message, models.Change]:
        """Unpin a message. DELETE /v1/sessions/{sessionId}/messages/{messageId}/pin

        Unpins a message, for everybody in its chat.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Message, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/pin", wait=wait))

    def unstar_message(
        self,
        session_id: str,
        message_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Message, models.Change]:
        """Take a star back. DELETE /v1/sessions/{sessionId}/messages/{messageId}/star

        Takes the star of a message back.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Message, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/star", wait=wait))

    def unsubscribe_presence(
        self,
        session_id: str,
        contact_id: str,
        *,
        wait: Optional[int] = None,
    ) -> Union[models.Presence, models.Change]:
        """End a subscription to a contact's presence. DELETE /v1/sessions/{sessionId}/presence/{contactId}/subscription

        Ends what PUT began: no event follows, and nothing more is known of the contact. WhatsApp is told so in the form that its former
        clients used; should it not heed that, it goes on telling this connection, and nobody else hears of it.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("Union[models.Presence, models.Change]", self.request("DELETE", f"/v1/sessions/{segment(session_id)}/presence/{segment(contact_id)}/subscription", wait=wait))

    def view_status_update(
        self,
        session_id: str,
        status_id: str,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.MessagesRead, models.Change]:
        """View a status update. POST /v1/sessions/{sessionId}/status-updates/{statusId}/view

        Tells a contact that the account has viewed his status update, unless the account keeps read receipts to itself, and the account's
        other devices. To answer it, send a message to him with replyTo; a reaction to it reaches him too.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.MessagesRead, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/status-updates/{segment(status_id)}/view", wait=wait, idempotency_key=idempotency_key))

    def vote(
        self,
        session_id: str,
        message_id: str,
        body: models.Vote,
        *,
        wait: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> Union[models.VoteData, models.Change]:
        """Vote in a poll. POST /v1/sessions/{sessionId}/messages/{messageId}/vote

        Votes for options of a poll, of others or the account's own, in place of its vote before.

        Answers the Change where WhatsApp has not done it within the wait, and still will: see is_queued.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it.
        idempotency_key: Names the request, so that it does nothing again when you repeat it within 24 h. One is made up without it."""
        return cast("Union[models.VoteData, models.Change]", self.request("POST", f"/v1/sessions/{segment(session_id)}/messages/{segment(message_id)}/vote", body=body, wait=wait, idempotency_key=idempotency_key))

    def watch_channel(
        self,
        session_id: str,
        channel_id: str,
        *,
        wait: Optional[int] = None,
    ) -> models.ChannelWatched:
        """Be told what a channel's posts are met with. PUT /v1/sessions/{sessionId}/channels/{channelId}/live-updates

        Asks WhatsApp to tell for a while, of which it says how long, how often posts are seen and what they are met with: as the event
        channel.counts. Asked again, it goes on for longer.

        wait: Seconds to wait for WhatsApp, at most 30; the answer then says what has become of it."""
        return cast("models.ChannelWatched", self.request("PUT", f"/v1/sessions/{segment(session_id)}/channels/{segment(channel_id)}/live-updates", wait=wait))
