import { untrack } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import { api, must, type Problem, problemOf, type Schemas } from '../../api/client';
import { type ChasquiEvent, stream } from '../../api/stream.svelte';
import { aboutMessage, type Address, type Chat, type Message, merge, patched } from './messages';

export interface Filter {
  q: string;
  show: string;
  kind: string;
  label: string;
}

/** Who types in a chat, until when. */
export interface Typing {
  from: Address;
  state: 'typing' | 'recording';
  until: number;
}

// The newest first, and above them, where nothing else is asked for, the pinned ones.
function order(a: Chat, b: Chat): number {
  if (a.pinned !== b.pinned) return a.pinned ? -1 : 1;
  const at = a.lastMessageAt ? Date.parse(a.lastMessageAt) : 0;
  const bt = b.lastMessageAt ? Date.parse(b.lastMessageAt) : 0;
  return bt - at || (a.id < b.id ? 1 : -1);
}

/** The chats of one session, with a filter; loaded page by page, and kept true by events. */
export class ChatList {
  items = $state.raw<Chat[]>([]);
  loading = $state(false);
  loaded = $state(false);
  hasMore = $state(false);
  problem = $state.raw<Problem>();
  labels = $state.raw<Schemas['Label'][]>([]);
  /** By chat. */
  typing = new SvelteMap<string, Typing>();
  readonly session: string;
  readonly filter: Filter;
  #cursor?: string;
  #abort?: AbortController;
  #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(session: string, filter: Filter) {
    this.session = session;
    this.filter = filter;
  }

  /** Loads it and listens until the returned function is called. */
  open(): () => void {
    untrack(() => {
      void this.reload();
      void this.#readLabels();
    });
    const ends = [stream.listen(this.#hear), stream.onGap(() => this.loaded && void this.reload())];
    return () => {
      for (const end of ends) end();
      for (const timer of this.#timers.values()) clearTimeout(timer);
      this.#abort?.abort();
    };
  }

  async #readLabels() {
    try {
      this.labels = (await must(api.GET('/v1/sessions/{sessionId}/labels', { params: { path: { sessionId: this.session } } }))).data;
    } catch {
      // the list is of use without
    }
  }

  reload = async () => {
    await this.#fetch(undefined);
  };

  more = async () => {
    if (!this.loading && this.hasMore && !this.problem) await this.#fetch(this.#cursor);
  };

  async #fetch(cursor: string | undefined) {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.loading = true;
    const { q, show, kind, label } = this.filter;
    const query = {
      q: q || undefined, kind: (kind || undefined) as 'user' | 'group' | undefined, labelId: label || undefined,
      unread: show === 'unread' || undefined, archived: show === 'unread' ? undefined : show === 'archived',
    };
    const read = (more: { cursor?: string; limit: number; pinned?: boolean }) =>
      must(api.GET('/v1/sessions/{sessionId}/chats', { params: { path: { sessionId: this.session }, query: { ...query, ...more } }, signal: abort.signal }));
    try {
      const [page, pinned] = await Promise.all([read({ cursor, limit: cursor ? 200 : 100 }), cursor || show === 'archived' ? undefined : read({ pinned: true, limit: 50 })]);
      if (this.#abort !== abort) return;
      const all = new Map<string, Chat>(cursor ? this.items.map((c) => [c.id, c]) : []);
      for (const chat of [...(pinned?.data ?? []), ...page.data]) if (!all.has(chat.id)) all.set(chat.id, chat);
      this.items = [...all.values()].sort(order);
      this.#cursor = page.nextCursor;
      this.hasMore = page.hasMore;
      this.loaded = true;
      this.problem = undefined;
    } catch (error) {
      if (this.#abort !== abort) return;
      this.problem = problemOf(error);
    }
    this.loading = false;
  }

  get(id: string): Chat | undefined {
    return this.items.find((c) => c.id === id);
  }

  /** Whether a chat belongs into the list as it is filtered; undefined: only the API can tell. */
  #fits(chat: Chat): boolean | undefined {
    const { q, show, kind, label } = this.filter;
    if (chat.id === 'status@broadcast') return false;
    if (show === 'unread' && !chat.unread && !chat.markedUnread) return false;
    if (show !== 'unread' && chat.archived !== (show === 'archived')) return false;
    if (kind && chat.kind !== kind) return false;
    if (label && !chat.labels.includes(label)) return false;
    if (q) {
      const text = q.toLowerCase();
      return [chat.name, chat.phone, chat.id].some((s) => s?.toLowerCase().includes(text));
    }
    return true;
  }

  /** Takes a chat as the API has answered it. */
  put(chat: Chat) {
    this.#change(new Map([[chat.id, (had) => ({ ...had, ...chat, lastMessage: chat.lastMessage ?? had?.lastMessage, lastMessageAt: chat.lastMessageAt ?? had?.lastMessageAt })]]));
  }

  /** Takes a message that was just accepted here: its event comes once it has gone out. */
  note(message: Message) {
    if (message.status === 'scheduled') return;
    if (this.get(message.chatId)) this.#change(new Map([[message.chatId, (had) => had && arrived(had, message)]]));
    else void this.#readChat(message.chatId);
  }

  remove(id: string) {
    this.items = this.items.filter((c) => c.id !== id);
  }

  #change(changes: Map<string, (had: Chat | undefined) => Chat | undefined>) {
    let sorted = true;
    const next: Chat[] = [];
    for (const chat of this.items) {
      const change = changes.get(chat.id);
      if (!change) {
        next.push(chat);
        continue;
      }
      changes.delete(chat.id);
      const changed = change(chat);
      // What one looks at does not vanish from “Unread” by being read.
      if (!changed || (this.#fits(changed) === false && this.filter.show !== 'unread')) continue;
      if (changed.lastMessageAt !== chat.lastMessageAt || changed.pinned !== chat.pinned) sorted = false;
      next.push(changed);
    }
    for (const change of changes.values()) {
      const made = change(undefined);
      if (made && this.#fits(made)) {
        next.push(made);
        sorted = false;
      }
    }
    this.items = sorted ? next : next.sort(order);
  }

  async #readChat(id: string) {
    try {
      this.put(await must(api.GET('/v1/sessions/{sessionId}/chats/{chatId}', { params: { path: { sessionId: this.session, chatId: id } } })));
    } catch {
      // the next event about it tries again
    }
  }

  #hear = (events: ChasquiEvent[]) => {
    const changes = new Map<string, (had: Chat | undefined) => Chat | undefined>();
    const unknown = new Set<string>();
    const known = new Set(this.items.map((c) => c.id));
    const change = (id: string, by: (had: Chat) => Chat | undefined) => {
      const before = changes.get(id);
      changes.set(id, (had) => {
        const chat = before ? before(had) : had;
        return chat && by(chat);
      });
    };
    for (const event of events) {
      if (event.sessionId !== this.session) continue;
      const { data, type } = event;
      if (type === 'chat.updated') {
        if (data.deleted) change(data.chat.id, () => undefined);
        else if (known.has(data.chat.id)) change(data.chat.id, (had) => ({ ...had, ...data.chat, lastMessage: data.cleared ? undefined : had.lastMessage, lastMessageAt: had.lastMessageAt, name: data.chat.name || had.name }));
        else unknown.add(data.chat.id);
      } else if (type === 'message.received' || type === 'message.sent') {
        const message = data.message as Message;
        if (message.chatId === 'status@broadcast') continue;
        if (type === 'message.received') this.#typed(message.chatId, message.from, 'paused');
        if (known.has(message.chatId)) change(message.chatId, (had) => arrived(had, message));
        else unknown.add(message.chatId);
      } else if (type === 'chat.typing') {
        this.#typed(data.chatId, data.from, data.state);
      } else if (type === 'contact.updated' && data.previousId && known.has(data.previousId)) {
        void this.reload();
      } else if (type === 'contact.updated' && data.contact && known.has(data.contact.id)) {
        change(data.contact.id, (had) => ({ ...had, name: data.contact.name ?? had.name, phone: data.contact.phone ?? had.phone }));
      } else if (type === 'group.updated' && data.group && known.has(data.group.id)) {
        change(data.group.id, (had) => ({ ...had, name: data.group.name ?? had.name }));
      } else if (type === 'label.updated') {
        if (!data.chatId) void this.#readLabels();
      } else if (type === 'message.deleted') {
        const about = aboutMessage(event);
        if (about && known.has(about.chatId)) unknown.add(about.chatId);
      } else {
        const about = aboutMessage(event);
        if (about && known.has(about.chatId)) {
          change(about.chatId, (had) => (had.lastMessage && had.lastMessage.id === about.id ? { ...had, lastMessage: patched(had.lastMessage, event) } : had));
        }
      }
    }
    if (changes.size > 0) this.#change(changes);
    for (const id of unknown) void this.#readChat(id);
  };

  #typed(chatId: string, from: Address, state: 'typing' | 'recording' | 'paused') {
    clearTimeout(this.#timers.get(chatId));
    this.#timers.delete(chatId);
    if (state === 'paused') {
      if (this.typing.get(chatId)?.from.id === from.id) this.typing.delete(chatId);
      return;
    }
    this.typing.set(chatId, { from, state, until: Date.now() + 25_000 });
    this.#timers.set(chatId, setTimeout(() => this.typing.delete(chatId), 25_000));
  }
}

/** A chat after a message came into it. Ids grow with time, so one that the list had already is not counted twice. */
function arrived(chat: Chat, message: Message): Chat {
  const last = chat.lastMessage;
  if (last?.id === message.id) return { ...chat, lastMessage: merge(last, message) };
  if (last && last.id > message.id) return chat;
  const incoming = message.direction === 'incoming' && !message.history;
  return {
    ...chat, lastMessage: message, lastMessageAt: chat.lastMessageAt && chat.lastMessageAt > message.timestamp ? chat.lastMessageAt : message.timestamp,
    unread: incoming ? chat.unread + 1 : message.direction === 'outgoing' ? 0 : chat.unread,
    markedUnread: message.direction === 'outgoing' ? false : chat.markedUnread,
  };
}
