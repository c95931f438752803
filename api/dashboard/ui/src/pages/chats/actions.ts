import { api, must, once } from '../../api/client';
import type { Message } from './messages';
import { rank, resent } from './messages';
import type { Thread } from './thread.svelte';

/** What can be done to a message. Each answers 'waits' where it was accepted and waits for the session's connection. */
type Outcome = Promise<'done' | 'waits'>;

function path(message: Message) {
  return { params: { path: { sessionId: message.sessionId, messageId: message.id } } };
}

export async function react(thread: Thread, message: Message, emoji: string): Outcome {
  if (thread.chat?.kind === 'channel') {
    const params = { path: { sessionId: thread.session, channelId: thread.id, messageId: message.id } };
    if (emoji) await must(api.PUT('/v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction', { params, body: { emoji } }));
    else await must(api.DELETE('/v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction', { params }));
    return 'done';
  }
  if (emoji) return thread.change(api.PUT('/v1/sessions/{sessionId}/messages/{messageId}/reaction', { ...path(message), body: { emoji } }));
  return thread.change(api.DELETE('/v1/sessions/{sessionId}/messages/{messageId}/reaction', path(message)));
}

export function star(thread: Thread, message: Message): Outcome {
  return message.starred
    ? thread.change(api.DELETE('/v1/sessions/{sessionId}/messages/{messageId}/star', path(message)))
    : thread.change(api.PUT('/v1/sessions/{sessionId}/messages/{messageId}/star', path(message)));
}

export function pin(thread: Thread, message: Message): Outcome {
  return message.pinnedUntil
    ? thread.change(api.DELETE('/v1/sessions/{sessionId}/messages/{messageId}/pin', path(message)))
    : thread.change(api.PUT('/v1/sessions/{sessionId}/messages/{messageId}/pin', { ...path(message), body: { seconds: 604800 } }));
}

/** Changes the text, or the caption of a file. */
export function edit(thread: Thread, message: Message, text: string): Outcome {
  return thread.change(api.PATCH('/v1/sessions/{sessionId}/messages/{messageId}', { ...path(message), body: message.content.type === 'text' ? { text } : { caption: text } }));
}

export function callOff(thread: Thread, message: Message): Outcome {
  return thread.change(api.PATCH('/v1/sessions/{sessionId}/messages/{messageId}', { ...path(message), body: { event: { cancelled: true } } }));
}

export async function cancel(thread: Thread, message: Message): Outcome {
  thread.take(await must(api.POST('/v1/sessions/{sessionId}/messages/{messageId}/cancel', { params: { ...path(message).params, header: once() } })));
  thread.scheduled = thread.scheduled.filter((m) => m.id !== message.id);
  return 'done';
}

export async function remove(thread: Thread, message: Message, scope: 'everyone' | 'me'): Outcome {
  const { params } = path(message);
  const answer = await must(api.DELETE('/v1/sessions/{sessionId}/messages/{messageId}', { params: { ...params, query: { scope } } }));
  if ('status' in answer) return 'waits';
  if (scope === 'me') thread.items = thread.items.filter((m) => m.id !== message.id);
  else thread.items = thread.items.map((m) => (m.id === message.id ? { ...m, revokedAt: answer.at } : m));
  return 'done';
}

/** Sends what failed once more, as a message of its own. */
export function sendAgain(thread: Thread, message: Message) {
  const content = resent(message.content);
  if (!content) return;
  const replied = message.replyTo?.messageId ? thread.get(message.replyTo.messageId) : undefined;
  thread.send(content, { replyTo: replied, mentions: message.mentions, mentionsEveryone: message.mentionsEveryone });
  thread.sentAgain(message.id);
}

/** Whether it can be taken back for everybody: an own one, for 60 hours. */
export function revocable(message: Message, now: number): boolean {
  return message.direction === 'outgoing' && !message.revokedAt && rank(message.status) >= rank('sent') && now - Date.parse(message.timestamp) < 60 * 3600_000;
}
