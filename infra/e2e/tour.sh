#!/usr/bin/env bash
# The whole way of a message with nothing but curl, against a running `chasqui dev`:
#   CHASQUI_URL, CHASQUI_KEY, SANDBOX_URL   as `chasqui dev` prints them
#   HOOK_URL                                optional: a webhook receiver to register
# It links a second session by QR, sends text both ways and reads both back. It ends with status 0 only if all of it was seen.
set -euo pipefail
: "${CHASQUI_URL:?}" "${CHASQUI_KEY:?}" "${SANDBOX_URL:?}"

api()     { curl -fsS -H "X-API-Key: $CHASQUI_KEY" -H 'Content-Type: application/json' "$@"; }
sandbox() { curl -fsS -H 'Content-Type: application/json' "$@"; }
field()   { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }   # the last string of that name in one line of JSON
say()     { printf '\n== %s\n' "$*"; }

me=5491151110001 friend=5491151110002

if [ -n "${HOOK_URL:-}" ]; then
  say "register a webhook (its secret is shown once)"
  api "$CHASQUI_URL/v1/webhook-endpoints" -d "{\"url\":\"$HOOK_URL\",\"order\":\"chat\"}" | tee "${HOOK_FILE:-/dev/stdout}"
fi

say "two simulated phones"
sandbox "$SANDBOX_URL/phones" -d "{\"number\":\"$me\",\"name\":\"Me\"}"
sandbox "$SANDBOX_URL/phones" -d "{\"number\":\"$friend\",\"name\":\"Friend\"}"

say "a session, linked by QR"
api "$CHASQUI_URL/v1/sessions" -d '{"id":"tour","name":"The tour"}'
qr=$(api -H 'Accept: text/plain' "$CHASQUI_URL/v1/sessions/tour/qr?wait=30")
sandbox "$SANDBOX_URL/phones/$me/scan" -d "{\"qr\":\"$qr\"}"

say "send a text and wait until WhatsApp has it"
out=$(api -H 'Prefer: wait=30' -H 'Idempotency-Key: tour-1' "$CHASQUI_URL/v1/sessions/tour/messages" \
  -d "{\"to\":\"$friend\",\"content\":{\"type\":\"text\",\"text\":\"hello from curl\"}}")
echo "$out"
wa=$(echo "$out" | field whatsappId)

say "the friend's phone shows it"
seen=$(sandbox "$SANDBOX_URL/phones/$friend/messages?after=0&wait=20")
echo "$seen"
[[ $seen == *"\"id\":\"$wa\""* && $seen == *'hello from curl'* ]]

say "a file, uploaded once and sent by its id"
media=$(curl -fsS -H "X-API-Key: $CHASQUI_KEY" -F "file=@$0;type=text/x-shellscript" "$CHASQUI_URL/v1/media")
echo "$media"
file=$(api -H 'Prefer: wait=30' "$CHASQUI_URL/v1/sessions/tour/messages" -d "{\"to\":\"$friend\",\"content\":{\"type\":\"document\",\"caption\":\"the tour\",
  \"media\":{\"mediaId\":\"$(echo "$media" | field id)\"}}}" | field whatsappId)
sum=$(sha256sum "$0" | cut -d' ' -f1)
for _ in $(seq 40); do
  seen=$(sandbox "$SANDBOX_URL/phones/$friend/messages?after=0")
  [[ $seen == *"$file"* ]] && break
  sleep 0.5
done
[[ $seen == *"$file"* && $seen == *"$sum"* ]]

say "the friend answers"
in=$(sandbox "$SANDBOX_URL/phones/$friend/messages" -d "{\"to\":\"$me\",\"type\":\"text\",\"text\":\"hello back\"}" | field id)

say "the answer stands in the event log"
for _ in $(seq 30); do
  events=$(api "$CHASQUI_URL/v1/events?limit=200")
  [[ $events == *"$in"* ]] && break
  sleep 0.5
done
[[ $events == *"$in"* && $events == *'hello back'* ]]

say "and in the list of messages, newest first"
list=$(api "$CHASQUI_URL/v1/sessions/tour/messages?limit=10")
echo "$list"
[[ $list == *"$in"* && $list == *"$wa"* ]]

say "the same idempotency key sends nothing new"
again=$(api -H 'Idempotency-Key: tour-1' "$CHASQUI_URL/v1/sessions/tour/messages" \
  -d "{\"to\":\"$friend\",\"content\":{\"type\":\"text\",\"text\":\"hello from curl\"}}")
[[ $again == *"\"whatsappId\":\"$wa\""* ]]

say "done: $wa went out, $in came in"
