import type { Schemas } from '../../api/client';
import type { ChasquiEvent } from '../../api/stream.svelte';

export type Chat = Schemas['Chat'];
export type Message = Schemas['Message'];
export type Content = Schemas['Content'];
export type SendContent = Schemas['SendContent'];
export type Media = Schemas['Media'];
export type Address = Schemas['Address'];

// What has arrived wins over what was said to have failed, as the API has it: a receipt proves it.
const ranks: Record<string, number> = { scheduled: 0, queued: 1, sending: 2, failed: 3, cancelled: 3, expired: 3, sent: 4, delivered: 5, read: 6, played: 7 };

/** How far a status is: a message only moves forward. */
export function rank(status: string): number {
  return ranks[status] ?? 0;
}

/** A newer form of a message over an older: its status never goes back, and what events leave out stays. */
export function merge(had: Message, message: Message): Message {
  const behind = rank(message.status) < rank(had.status);
  return {
    ...message,
    status: behind ? had.status : message.status,
    error: behind ? had.error : message.error,
    reactions: message.reactions ?? had.reactions,
  };
}

/** A message after an event about it; the same where the event changes nothing. */
export function patched(message: Message, event: ChasquiEvent): Message {
  const { data } = event;
  switch (event.type) {
    case 'message.status':
      if (rank(data.status) <= rank(message.status)) return message;
      return { ...message, status: data.status, error: data.error, waitsFor: undefined };
    case 'message.edited':
    case 'message.received':
    case 'message.sent':
      return merge(message, data.message);
    case 'message.revoked':
      return { ...message, revokedAt: data.at };
    case 'message.starred':
      return { ...message, starred: data.starred };
    case 'message.pinned':
      return { ...message, pinnedUntil: data.pinned ? data.pinnedUntil : undefined };
    case 'message.reaction': {
      const others = (message.reactions ?? []).filter((r) => r.from.id !== data.from.id);
      return { ...message, reactions: data.emoji ? [...others, { from: data.from, emoji: data.emoji, at: data.at }] : others };
    }
  }
  return message;
}

/** The message that an event is about: ours, and WhatsApp's id of it. */
export function aboutMessage(event: ChasquiEvent): { id?: string; whatsappId?: string; chatId: string } | undefined {
  const { data } = event;
  if (data.message) return { id: data.message.id, whatsappId: data.message.whatsappId, chatId: data.message.chatId };
  if (data.chatId && (data.messageId || data.whatsappId)) return { id: data.messageId, whatsappId: data.whatsappId, chatId: data.chatId };
  return undefined;
}

/** What is written in a message: its text, its caption, or what it is called. */
export function textOf(content: Content): string {
  return content.text || content.caption || content.poll?.question || content.event?.name || content.groupInvite?.name || content.location?.name || content.contacts?.[0]?.name || content.media?.fileName || '';
}

/** A content as it is sent again. */
export function resent(content: Content): SendContent | undefined {
  const { type, caption } = content;
  const media = content.media && { mediaId: content.media.id, fileName: content.media.fileName };
  switch (type) {
    case 'text':
      return { type, text: content.text ?? '' };
    case 'image':
    case 'video':
      return { type, media: media!, caption, viewOnce: content.viewOnce, ...(type === 'video' ? { gif: content.gif, videoNote: content.videoNote } : {}) } as SendContent;
    case 'document':
      return { type, media: media!, caption };
    case 'audio':
    case 'sticker':
      return { type, media: media! };
    case 'voice':
      return { type, media: media!, viewOnce: content.viewOnce };
    case 'location':
      return { type, location: content.location! };
    case 'liveLocation':
      return { type, liveLocation: content.liveLocation!, caption };
    case 'contacts':
      return { type, contacts: (content.contacts ?? []).map((c) => (c.vcard ? { vcard: c.vcard } : { name: c.name, phones: c.phones })) };
    case 'poll':
      return { type, poll: content.poll! };
    case 'event': {
      const { cancelled: _, ...event } = content.event!;
      return { type, event };
    }
    case 'groupInvite':
      return { type, groupInvite: content.groupInvite! };
  }
  return undefined;
}

/** Whether one may still edit it: WhatsApp lets texts and captions be changed for 15 minutes, and chasqui what has not left at any time. */
export function editable(message: Message, now: number): boolean {
  if (message.direction !== 'outgoing' || message.revokedAt || !['text', 'image', 'video', 'document'].includes(message.content.type)) return false;
  if (['scheduled', 'queued'].includes(message.status)) return true;
  return rank(message.status) >= rank('sent') && now - Date.parse(message.timestamp) < 15 * 60_000;
}

/** The address of a chat's page; the filters stay. */
export function chatHref(session: string, chat: string, query = ''): string {
  return `/chats/${encodeURIComponent(session)}/${encodeURIComponent(chat)}${query}`;
}
