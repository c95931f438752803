import type { ChasquiEvent } from '../../api/stream.svelte';
import { nameOf, phone } from '../../i18n/i18n.svelte';
import type { Messages } from '../../i18n/en';
import { sessionState } from '../states';

type Words = Record<string, string>;

/** What a type of event is called; one that this page does not know keeps its name. */
export function typeName(type: string, t: Messages): string {
  return (t.events.types as Words)[type] ?? type;
}

/** The chat that an event is about; '' where it is about none. */
export function chatOf({ data }: ChasquiEvent): string {
  const d = data ?? {};
  return d.message?.chatId ?? d.chatId ?? d.chat?.id ?? d.group?.id ?? d.groupId ?? d.channel?.id ?? d.channelId ?? d.call?.groupId ?? d.call?.from?.id ?? d.contact?.id ?? d.presence?.contact?.id ?? '';
}

/** What kind of chat an address is, as the API has it. */
export function kindOf(chat: string): string {
  const server = chat.slice(chat.indexOf('@') + 1);
  if (chat === 'status@broadcast') return 'status';
  return { 'g.us': 'group', broadcast: 'broadcast', newsletter: 'channel' }[server] ?? 'user';
}

function short(text: string, most = 160): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
function contentOf(content: any, t: Messages): string {
  if (!content) return '';
  const kinds = t.events.content as Words;
  if (content.type === 'text') return `“${short(content.text ?? '')}”`;
  const kind = kinds[content.gif ? 'gif' : content.videoNote ? 'videoNote' : content.type] ?? content.type;
  const about = content.caption ?? content.poll?.question ?? content.event?.name ?? content.groupInvite?.name ?? content.contacts?.[0]?.name ?? content.location?.name ?? content.media?.fileName ?? '';
  return about ? `${kind}, “${short(about)}”` : kind;
}

/** One line for a person: who, what, and where. An event of a type that this page does not know is told by its name. */
export function summary(event: ChasquiEvent, t: Messages): string {
  try {
    return told(event, t) || typeName(event.type, t);
  } catch {
    return typeName(event.type, t); // a shape of another version
  }
}

function told(event: ChasquiEvent, t: Messages): string {
  const d = event.data;
  const e = t.events;
  const s = e.said;
  const who = nameOf(d.by ?? d.from ?? d.message?.from) || e.someone;
  const by = nameOf(d.by);
  const actor = d.direction === 'outgoing' ? e.account : who;
  const chat = chatOf(event);
  const place = d.message?.to && kindOf(chat) !== 'user' ? nameOf(d.message.to) : kindOf(chat) === 'user' ? '' : nameOf({ id: chat });
  const at = (what: string) => (place ? s.in(what, place) : what);
  const content = contentOf(d.message?.content, t);
  const changed = (list: string[] | string | undefined) => [list ?? []].flat().map((c) => (s.changed as Words)[c] ?? c).join(', ');
  switch (event.type) {
    case 'session.status': return s.session(sessionState(d.session.state, t).text, d.session.reason ?? '');
    case 'session.qr': return s.qr;
    case 'session.pairing-code': return s.pairingCode(phone(d.pairingCode?.phone));
    case 'session.risk': return s.risk((s.levels as Words)[d.health.level] ?? d.health.level, d.health.reasons?.[0]?.message ?? '');
    case 'message.received': return at(s.received(who, content));
    case 'message.sent': return s.sent(nameOf(d.message.to), content);
    case 'message.status': return at(s.status((e.statuses as Words)[d.status] ?? d.status, d.status === 'failed' ? '' : by, d.error?.message ?? ''));
    case 'message.edited': return at(s.edited(who, content));
    case 'message.revoked': return at(s.revoked(by || e.someone));
    case 'message.deleted': return at(s.deleted);
    case 'message.reaction': return at(s.reacted(actor, d.emoji ?? ''));
    case 'message.pinned': return at(s.pinned(by || e.someone, !!d.pinned));
    case 'message.starred': return at(s.starred(!!d.starred));
    case 'poll.voted': return at(s.voted(actor, (d.options ?? []).join(', ')));
    case 'event.responded': return at(s.responded(actor, (s.responses as Words)[d.response] ?? d.response, d.extraGuests ?? 0));
    case 'chat.updated': {
      const name = nameOf(d.chat);
      if (d.deleted) return s.chatDeleted(name);
      if (d.cleared) return s.chatCleared(name);
      const traits = [d.chat.archived && s.traits.archived, d.chat.pinned && s.traits.pinned, d.chat.mutedUntil && s.traits.muted, d.chat.markedUnread && s.traits.markedUnread, d.chat.unread > 0 && s.unread(d.chat.unread)];
      return s.chatUpdated(name, traits.filter(Boolean).join(', '));
    }
    case 'label.updated': return d.chatId ? s.labelChat(d.label.name, nameOf({ id: d.chatId }), !!d.labeled) : s.label(d.label.name, !!d.deleted);
    case 'history.synced': return d.missing ? s.historyMissing : s.history(d.messages ?? 0, d.chats ?? 0, d.progress);
    case 'contact.updated': return d.changed === 'erased' ? s.contactErased : s.contact(nameOf(d.contact), changed(d.changed));
    case 'group.joined': return s.groupJoined(nameOf(d.group), by);
    case 'group.left': return s.groupLeft(nameOf(d.group), d.reason ?? '');
    case 'group.updated': return s.groupUpdated(nameOf(d.group), changed(d.changed), by);
    case 'group.participants': return at(s.participants(d.participants.map(nameOf).join(', '), d.action, by));
    case 'group.join-request': return at(s.joinRequest(who, d.action === 'cancelled'));
    case 'status.received': return s.statusUpdate(who, content);
    case 'channel.updated': return s.channel(nameOf(d.channel), d.change, changed(d.changed));
    case 'channel.message': return s.channelPost(who, content);
    case 'channel.counts': return s.in(s.channelCounts(d.posts.length, d.posts.reduce((sum: number, p: { views?: number }) => sum + (p.views ?? 0), 0)), nameOf({ id: d.channelId }));
    case 'presence.updated': return s.presence(nameOf(d.presence.contact), d.presence.typing || d.presence.state);
    case 'chat.typing': return at(s.typing(who, d.state));
    case 'call.offered': return s.call(nameOf(d.call.from), !!d.call.video);
    case 'call.accepted': return s.callAccepted(nameOf(d.call.from));
    case 'call.ended': return s.callEnded(nameOf(d.call.from), d.call.reason ?? '');
    case 'change.failed': return s.change(d.change.kind, d.change.error?.message ?? '');
    case 'media.failed': return s.mediaFailed(d.media?.fileName ?? '', d.error?.message ?? '');
    case 'webhook.test': return s.webhookTest(d.endpoint.url);
    case 'webhook.failing': return s.webhookFailing(d.endpoint.url, d.endpoint.reason ?? '');
    case 'webhook.disabled': return s.webhookDisabled(d.endpoint.url, d.endpoint.reason ?? '');
    default: return '';
  }
}
