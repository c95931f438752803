package features

import (
	"fmt"
	"testing"
	"time"
)

// textAt is what stands at a path of an answer, as text; "" when it is not there.
func textAt(answer any, path ...string) string {
	if v := dig(answer, path...); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// firstOf is the first of a list that was answered.
func firstOf(t *testing.T, list map[string]any) map[string]any {
	t.Helper()
	if data, _ := list["data"].([]any); len(data) > 0 {
		first, _ := data[0].(map[string]any)
		return first
	}
	t.Errorf("the list is empty: %v", list)
	return nil
}

// numbered makes a phone with the number of an example.
func (w *walk) numbered(number, name string) phone {
	p := phone{w.t, number}
	p.do("POST", running.SandboxURL+"/phones", map[string]any{"number": number, "name": name}, nil)
	return p
}

// links makes the session "sales" and links it, after everything that is asked of a session without an account; and another one by a passkey.
func (w *walk) links() {
	w.s, w.juan = session{w.t, "sales", w.numbered("5491100000000", "Sales team")}, w.numbered("5491123456789", "Juan Pérez")
	w.numbered("5491187654321", "Ana")
	w.do("create-session")
	w.key = textAt(w.do("create-link"), "token")
	w.do("get-link")
	w.key = ""
	w.do("ask-pairing-code")
	w.do("get-session-qr", "wait", "30")
	w.s.phone.act("POST", "/scan", map[string]any{"qr": w.do("legacy-get-qr")["qrText"]}, nil)

	guarded := unlinked(w.t, newPhone(w.t, "Guarded"))
	guarded.phone.act("PUT", "/passkey", nil, nil)
	linked := guarded.passkeyStep(func() (string, any) { return "/code", map[string]string{"code": guarded.pairingCode().Code} })
	var asked passkey
	guarded.must(200, "GET", "/passkey", nil, &asked)
	w.do("get-passkey", "sessionId", guarded.id)
	w.do("confirm-passkey", "sessionId", guarded.id)
	a := guarded.phone.assertion(asked.Request)
	given := []string{"sessionId", guarded.id, "id", textAt(a, "id"), "rawId", textAt(a, "rawId")}
	for _, member := range []string{"authenticatorData", "clientDataJSON", "signature", "userHandle"} {
		given = append(given, member, textAt(a, "response", member))
	}
	w.do("answer-passkey", given...)
	if err := <-linked; err != "" {
		w.t.Fatal(err)
	}

	played := unlinked(w.t, w.juan)
	played.must(202, "POST", "/start", nil, nil)
	w.do("simulate-scan", "sessionId", played.id)

	played.awaitState("connected")
	w.do("simulate-message", "sessionId", played.id)

	w.s.awaitState("connected")
	w.do("list-sessions")
	w.do("get-session")
	w.do("change-session")
	w.do("get-session-health")
	w.do("list-session-log")
	w.do("get-health")
	w.do("get-readiness")
	w.do("get-version")
	w.do("get-stats", "since", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
}

// keys makes a key and ends it.
func (w *walk) keys() {
	w.do("get-me")
	w.is["keyId"] = textAt(w.do("create-api-key"), "id")
	w.do("list-api-keys")
	w.do("get-api-key")
	w.do("change-api-key")
	w.do("rotate-api-key")
	w.do("delete-api-key")
	w.do("list-audit-log")
	w.do("list-settings")
}

// writes sends messages, and does things to one of them.
func (w *walk) writes() {
	w.is["messageId"] = textAt(w.do("send-message"), "id")
	w.do("list-messages")
	w.do("get-message")
	w.do("edit-message")
	w.do("list-receipts")
	w.do("set-reaction")
	w.do("delete-reaction")
	w.do("star-message")
	w.do("unstar-message")
	w.do("pin-message")
	w.do("unpin-message")
	w.do("forward-message")

	later := w.s.accepted(w.juan.number, "later", map[string]any{"sendAt": time.Now().Add(time.Hour)})
	w.do("cancel-message", "messageId", later.ID)
	w.is["mediaId"] = textAt(w.do("fetch-media", "url", w.site+"/menu.jpg"), "id")
	w.is["batchId"] = textAt(w.do("create-message-batch"), "id")
	w.do("get-message-batch")
	w.do("cancel-message-batch")
}

// answers does what is done to messages of others.
func (w *walk) answers() {
	received := func(sent map[string]any) string {
		sent["to"] = w.s.phone.number
		return w.s.received(w.juan.send(sent)).ID
	}
	poll := received(map[string]any{"type": "poll", "poll": map[string]any{"question": "When?", "options": []string{"Monday", "Tuesday"}, "selectableCount": 1}})
	w.do("vote", "messageId", poll)
	w.do("get-poll-results", "messageId", poll)
	party := received(map[string]any{"type": "event", "event": map[string]any{"name": "Party", "startAt": "2030-01-15T20:00:00Z", "extraGuestsAllowed": true}})
	w.do("respond-to-event", "messageId", party)
	w.do("list-event-responses", "messageId", party)
	image := received(map[string]any{"type": "image", "data": pixel, "mimetype": "image/png"})
	w.do("get-message-media", "messageId", image)
	w.do("retry-message-media", "messageId", image)
	w.do("mark-messages-read", "messageIds", image)
	w.do("delete-message", "messageId", w.is["messageId"])

	call := w.juan.calls(map[string]any{"to": w.s.phone.number})
	w.is["callId"] = textAt(w.s.called("call.offered", call), "id")
	w.do("reject-call")
	w.do("list-calls")
}

// chats does what is done to a chat, but for what ends it.
func (w *walk) chats() {
	w.do("list-chats")
	w.do("get-chat")
	w.do("list-chat-messages")
	w.do("read-chat")
	w.do("set-typing")
	w.do("change-chat")
	w.do("request-history")
	w.is["labelId"] = textAt(w.do("create-label"), "id")
	w.do("list-labels")
	w.do("change-label")
	w.do("label-chat")
	w.do("unlabel-chat")
	w.do("delete-label")
}

// people is what there is to do about contacts and the account itself.
func (w *walk) people() {
	w.juan.act("PUT", "/picture", map[string]any{"data": photoOf(w.t, 64)}, nil)
	for _, p := range []phone{w.juan, w.s.phone} {
		p.act("PUT", "/business", map[string]any{"name": "The Shop", "description": "All you need."}, nil)
	}
	w.do("list-contacts")
	w.do("check-contacts")
	w.do("get-contact")
	w.do("change-contact")
	w.do("get-contact-picture")
	w.do("get-contact-business-profile")
	w.do("block-contact")
	w.do("list-blocked")
	w.do("unblock-contact")
	w.do("set-presence")
	w.do("subscribe-presence")
	w.do("get-presence")
	w.do("unsubscribe-presence")
	w.do("get-profile")
	w.do("change-profile")
	w.do("set-profile-picture")
	w.do("delete-profile-picture")
	w.do("get-business-profile")
	w.do("get-privacy")
	w.do("change-privacy")
}

// groups makes groups, asks others in, and leaves.
func (w *walk) groups() {
	w.is["groupId"] = textAt(w.do("create-group"), "id")
	w.do("list-groups")
	w.do("get-group")
	w.do("change-group")
	w.do("list-participants")
	w.do("change-participant")
	w.do("remove-participant")
	w.do("add-participants")
	w.do("set-group-picture")
	w.do("delete-group-picture")
	w.do("get-group-invite")
	w.do("rotate-group-invite")

	var town, door group
	w.s.must(200, "POST", "/groups", map[string]any{"name": "Town", "community": true}, &town)
	w.do("link-subgroup", "groupId", town.ID, "subgroupId", w.is["groupId"])
	w.do("list-subgroups", "groupId", town.ID)
	w.do("unlink-subgroup", "groupId", town.ID, "subgroupId", w.is["groupId"])

	var link struct{ URL string }
	w.s.must(200, "POST", "/groups", map[string]any{"name": "By the door", "joinApproval": true}, &door)
	w.s.must(200, "GET", door.path()+"/invite", nil, &link)
	for _, decision := range []string{"reject-join-request", "approve-join-request"} {
		w.juan.act("POST", "/groups/join", map[string]any{"link": link.URL}, nil)
		w.do("list-join-requests", "groupId", door.ID)
		w.do(decision, "groupId", door.ID)
	}

	// Into groups of Juan's: by their link, and by an invitation that he sends because he may not add.
	open := w.juan.group("Open house")
	var invite struct{ Link string }
	w.juan.act("GET", "/groups/"+open+"/invite", nil, &invite)
	code := invite.Link[len("https://chat.whatsapp.com/"):]
	w.do("look-up-group-invite", "code", code)
	w.do("join-group", "code", code)
	w.s.phone.act("PUT", "/privacy/groupadd", map[string]any{"value": "none"}, nil)
	closed := w.juan.creates(map[string]any{"subject": "Closed", "participants": []string{w.s.phone.number}})
	for _, p := range closed.Participants {
		if p.InviteCode != "" {
			invited := w.juan.send(map[string]any{"to": w.s.phone.number, "type": "groupInvite", "groupInvite": map[string]any{
				"groupJid": closed.JID, "code": p.InviteCode, "groupName": "Closed", "expiresAt": time.Unix(p.InviteExpiration, 0),
			}})
			w.do("accept-group-invite", "messageId", w.s.received(invited).ID)
		}
	}
	w.do("leave-group")
}

// channels makes a channel and posts to it, and follows one of Juan's.
func (w *walk) channels() {
	w.is["channelId"] = textAt(w.do("create-channel"), "id")
	w.do("list-channels")
	w.do("get-channel")
	w.do("change-channel")
	w.do("watch-channel")
	w.do("set-channel-picture")
	w.do("delete-channel-picture")
	w.do("post-to-channel")
	post := textAt(firstOf(w.t, w.do("list-channel-messages")), "serverId")
	w.do("react-to-channel-message", "messageId", post)
	w.do("delete-channel-message-reaction", "messageId", post)
	w.do("delete-channel")

	other := w.juan.channel("Of Juan")
	w.do("look-up-channel-invite", "code", other.InviteCode)
	w.do("follow-channel", "channelId", other.ID)
	w.do("mute-channel", "channelId", other.ID)
	w.do("unmute-channel", "channelId", other.ID)
	w.do("unfollow-channel", "channelId", other.ID)
}

// statuses posts a status update and takes it back, and views one of Juan's.
func (w *walk) statuses() {
	w.is["statusId"] = textAt(w.do("post-status-update"), "id")
	w.do("list-status-updates")
	w.do("get-status-update")
	w.do("list-status-viewers")
	w.do("delete-status-update")
	w.do("view-status-update", "statusId", w.s.status(w.juan.postsTo(w.s, map[string]any{"type": "text", "text": "look"}), nil).ID)
}

// media uploads a file and reads it, and reads what has happened so far.
func (w *walk) media() {
	w.is["mediaId"] = textAt(w.do("upload-media"), "id")
	w.do("list-media")
	w.do("get-media")
	w.do("get-media-content")
	w.do("delete-media")
	w.is["changeId"] = textAt(firstOf(w.t, w.do("list-changes")), "id")
	w.do("get-change")
	w.is["eventId"] = textAt(firstOf(w.t, w.do("list-events")), "id")
	w.do("get-event")
	w.do("list-event-types")
	w.do("create-stream-ticket")
	w.do("stream-events")
	w.do("stream-events-websocket")
}

// webhooks makes an endpoint, and does everything about it and its deliveries.
func (w *walk) webhooks() {
	w.is["endpointId"] = textAt(w.do("create-webhook-endpoint"), "id")
	w.do("list-webhook-endpoints")
	w.do("get-webhook-endpoint")
	w.do("change-webhook-endpoint")
	w.do("get-webhook-secret")
	w.do("rotate-webhook-secret")
	w.do("test-webhook-endpoint")
	w.is["deliveryId"] = textAt(firstOf(w.t, w.do("list-endpoint-deliveries")), "id")
	w.do("list-deliveries")
	w.do("get-delivery")
	w.do("retry-delivery")
	w.is["replayId"] = textAt(w.do("replay-webhook-endpoint"), "id")
	w.do("list-replays")
	w.do("get-replay")
	w.do("cancel-replay")
	w.do("delete-webhook-endpoint")
}

// original does what clients of the original program do, with a session of their own.
func (w *walk) original() {
	old := session{w.t, "mi-sesion-01", newPhone(w.t, "Owner")}
	w.do("legacy-health")
	w.do("legacy-info")
	w.do("legacy-configure-webhook")
	defer call(w.t, "POST", running.URL+"/webhook/config", map[string]any{"webhookUrl": nil}, nil) // it takes the messages of everybody
	w.do("legacy-start-session")
	old.scanned()
	w.do("legacy-get-status")
	w.do("legacy-list-sessions")
	w.do("legacy-send-message")
	w.do("legacy-send-media")
	w.do("legacy-list-messages")
	w.do("legacy-logout", "sessionId", old.id)
	old.must(204, "DELETE", "", nil, nil)
}

// moves exports a session that rests, and imports it where it was.
func (w *walk) moves() {
	spare := session{t: w.t, id: "spare"}
	call(w.t, "POST", running.URL+"/v1/sessions", map[string]any{"id": spare.id, "start": false}, nil)
	w.do("export-session", "sessionId", spare.id)
	file := w.body
	spare.must(204, "DELETE", "", nil, nil)
	w.do("import-session", "file", file)
	spare.must(204, "DELETE", "", nil, nil)
}

// ends ends the chat with Juan, and then the session.
func (w *walk) ends() {
	w.do("clear-chat")
	w.do("delete-chat")
	w.do("erase-contact", "erase", "true")
	w.do("restart-session")
	w.do("stop-session")
	w.do("start-session")
	w.do("logout-session")
	w.do("delete-session")
}
