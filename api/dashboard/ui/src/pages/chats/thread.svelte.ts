import { untrack } from 'svelte';
import { auth } from '../../api/auth.svelte';
import { api, must, once, Problem, problemOf, type Schemas } from '../../api/client';
import { uuid } from '../../api/ids';
import { upload } from '../../api/files';
import { type ChasquiEvent, stream } from '../../api/stream.svelte';
import type { ChatList } from './list.svelte';
import { keepOwn } from './media.svelte';
import { nameOf } from '../../i18n/i18n.svelte';
import { aboutMessage, type Address, type Chat, type Message, merge, patched, type SendContent } from './messages';

/** A message that this page sends, until the API has it. */
export interface Local {
  reference: string;
  /** Idempotency-Key: the same on a repeat while no answer came. */
  key: string;
  uploadKey: string;
  /** What is shown meanwhile. */
  message: Message;
  content: SendContent;
  replyTo?: string;
  mentions?: string[];
  mentionsEveryone?: boolean;
  /** The album that it belongs to: another of these, by its reference, which goes first. */
  album?: string;
  file?: File;
  url?: string;
  percent?: number;
  problem?: Problem;
}

/** What a change answered: what it made, or that it waits for the connection. */
type Answer = Message | Schemas['Change'];

/** What stands beside a content. */
export interface Beside {
  replyTo?: Message;
  mentions?: Address[];
  mentionsEveryone?: boolean;
  file?: File;
  album?: string;
}

const page = 50;

/** The messages of one chat, oldest first. */
export class Thread {
  chat = $state.raw<Chat>();
  items = $state.raw<Message[]>([]);
  locals = $state<Local[]>([]);
  loaded = $state(false);
  loading = $state(false);
  hasMore = $state(false);
  problem = $state.raw<Problem>();
  /** A change that was accepted and could not be done. */
  failedChange = $state.raw<Schemas['Change']>();
  /** Messages that were sent again after they failed. */
  again = $state.raw(new Set<string>());
  /** Counts what has come in, so that whoever is scrolled up can be told. */
  arrivals = $state(0);
  historyAsked = $state<'' | 'asked' | 'gone'>('');
  scheduled = $state.raw<Message[]>([]);
  /** Who belongs to the group, once that was asked for. */
  members = $state.raw<Schemas['Participant'][]>();
  /** Raised by votes and answers, which are read anew where they are shown. */
  results = $state.raw(new Map<string, number>());
  readonly session: string;
  readonly id: string;
  /** The list beside it; another with another filter. */
  list = $state.raw() as ChatList;
  #ended = false;
  #turn: Promise<void> = Promise.resolve();
  #heard: ChasquiEvent[] | undefined;
  /** The albums of this page by their references, while and after they are accepted; undefined is one that was not. */
  #albums = new Map<string, Promise<string | undefined>>();

  constructor(session: string, id: string, list: ChatList) {
    this.session = session;
    this.id = id;
    this.list = list;
  }

  get #path() {
    return { sessionId: this.session, chatId: this.id };
  }

  open(): () => void {
    untrack(() => {
      void this.load();
      void this.readScheduled();
    });
    const ends = [stream.listen(this.#hear), stream.onGap(() => this.loaded && void this.load())];
    return () => {
      this.#ended = true;
      for (const end of ends) end();
    };
  }

  load = async () => {
    this.loading = true;
    // What happens while the page is read is put over it afterwards.
    this.#heard = [];
    try {
      const [chat, newest] = await Promise.all([
        must(api.GET('/v1/sessions/{sessionId}/chats/{chatId}', { params: { path: this.#path } })),
        must(api.GET('/v1/sessions/{sessionId}/chats/{chatId}/messages', { params: { path: this.#path, query: { limit: page } } })),
      ]);
      const had = new Map(this.items.map((m) => [m.id, m]));
      const read = newest.data.filter((m) => m.status !== 'scheduled').reverse();
      const joins = read.length > 0 && had.has(read[0]!.id);
      const older = joins ? this.items.slice(0, this.items.findIndex((m) => m.id === read[0]!.id)) : [];
      this.items = [...older, ...read.map((m) => (had.has(m.id) ? merge(had.get(m.id)!, m) : m))];
      if (!joins) this.hasMore = newest.hasMore;
      this.chat = chat;
      this.loaded = true;
      this.problem = undefined;
    } catch (error) {
      this.problem = problemOf(error);
      // Somebody who was never written to has no chat yet: it begins with the first message.
      if (this.problem.code === 'chat_not_found' && !this.loaded) {
        this.chat = { id: this.id, kind: this.id.endsWith('@g.us') ? 'group' : 'user', phone: this.id.endsWith('@lid') ? undefined : this.id.replace(/@.*/, ''), unread: 0, markedUnread: false, archived: false, pinned: false, disappearingSeconds: 0, labels: [] };
        this.loaded = true;
        this.problem = undefined;
      }
    }
    this.loading = false;
    const heard = this.#heard ?? [];
    this.#heard = undefined;
    if (heard.length > 0) this.#hear(heard);
  };

  older = async () => {
    if (this.loading || !this.hasMore || !this.loaded || this.problem) return;
    this.loading = true;
    try {
      const answer = await must(api.GET('/v1/sessions/{sessionId}/chats/{chatId}/messages', { params: { path: this.#path, query: { limit: page, cursor: this.items[0]?.id } } }));
      const had = new Set(this.items.map((m) => m.id));
      this.items = [...answer.data.filter((m) => m.status !== 'scheduled' && !had.has(m.id)).reverse(), ...this.items];
      this.hasMore = answer.hasMore;
    } catch (error) {
      this.problem = problemOf(error);
    }
    this.loading = false;
  };

  async readScheduled() {
    if (!auth.can('send')) return;
    try {
      this.scheduled = (await must(api.GET('/v1/sessions/{sessionId}/messages', { params: { path: { sessionId: this.session }, query: { chatId: this.id, status: 'scheduled', limit: 100 } } }))).data;
    } catch {
      // a chat that is not there yet has none
    }
  }

  get(id: string): Message | undefined {
    return this.items.find((m) => m.id === id);
  }

  /** What somebody is called: quotations and mentions hold no names, but who has written here, or has a chat, has one. */
  named(address: Address): string {
    if (address.name) return nameOf(address);
    const known = this.items.find((m) => m.from.id === address.id && m.from.name)?.from ?? this.list.get(address.id);
    return nameOf(known?.name ? known : address);
  }

  /** Takes a message as the API answered it, in place of what was shown while it was sent. */
  take(message: Message, from?: string) {
    if (message.status === 'scheduled') {
      this.scheduled = [message, ...this.scheduled.filter((m) => m.id !== message.id)];
      return;
    }
    this.scheduled = this.scheduled.filter((m) => m.id !== message.id);
    const at = this.items.findIndex((m) => m.id === message.id);
    if (at >= 0) this.items = this.items.with(at, merge(this.items[at]!, message));
    else this.items = [...this.items, message];
    const reference = from ?? message.clientReference;
    if (reference) this.locals = this.locals.filter((l) => l.reference !== reference);
  }

  #hear = (events: ChasquiEvent[]) => {
    if (this.#heard) {
      this.#heard.push(...events);
      return;
    }
    for (const event of events) {
      if (event.sessionId !== this.session) continue;
      const { type, data } = event;
      if (type === 'chat.updated' && data.chat.id === this.id && this.chat) {
        this.chat = { ...this.chat, ...data.chat, name: data.chat.name || this.chat.name };
        if (data.cleared) {
          this.items = this.items.filter((m) => ['queued', 'sending'].includes(m.status));
          this.hasMore = false;
        }
        continue;
      }
      if (type === 'group.participants' && data.groupId === this.id && this.members) {
        void this.readMembers().catch(() => {}); // those that are known serve on
        continue;
      }
      if (type === 'history.synced' && (data.chatId === this.id || !data.chatId)) {
        if (data.chatId) this.historyAsked = data.missing ? 'gone' : '';
        if (data.messages > 0 || data.chatId) {
          this.hasMore = !data.missing || this.hasMore;
          void this.older();
        }
        continue;
      }
      if (type === 'change.failed') {
        const target = data.change?.target;
        if (target && (target === this.id || this.get(target) || this.items.some((m) => m.whatsappId === target))) this.failedChange = data.change;
        continue;
      }
      if (type === 'media.failed' && data.chatId === this.id) {
        this.bump(data.media.id);
        continue;
      }
      const about = aboutMessage(event);
      if (!about || about.chatId !== this.id) continue;
      if (type === 'message.received' || type === 'message.sent') {
        const known = this.get(data.message.id);
        this.take(data.message);
        if (!known && type === 'message.received') this.arrivals++;
      } else if (type === 'message.deleted') {
        this.items = this.items.filter((m) => m.id !== about.id);
        this.scheduled = this.scheduled.filter((m) => m.id !== about.id);
      } else if (type === 'poll.voted' || type === 'event.responded') {
        if (about.id) this.bump(about.id);
      } else {
        const at = this.items.findIndex((m) => m.id === about.id);
        if (at >= 0) {
          const changed = patched(this.items[at]!, event);
          if (changed !== this.items[at]) this.items = this.items.with(at, changed);
          if (type === 'message.status') this.bump(about.id!);
        } else if (type === 'message.status' && this.scheduled.some((m) => m.id === about.id)) {
          if (data.status === 'scheduled') continue;
          if (data.status === 'cancelled') this.scheduled = this.scheduled.filter((m) => m.id !== about.id);
          else void this.#read(about.id!);
        }
      }
    }
  };

  /** Says that what stands beside a message has changed: its votes, receipts or file. */
  bump(id: string) {
    this.results = new Map(this.results).set(id, (this.results.get(id) ?? 0) + 1);
  }

  async #read(id: string) {
    try {
      this.take(await must(api.GET('/v1/sessions/{sessionId}/messages/{messageId}', { params: { path: { sessionId: this.session, messageId: id } } })));
    } catch {
      // message.sent brings it too
    }
  }

  /** Asks who belongs to the group: when somebody is to be mentioned, and from then on whenever that changes. */
  async readMembers() {
    this.members = (await must(api.GET('/v1/sessions/{sessionId}/groups/{groupId}', { params: { path: { sessionId: this.session, groupId: this.id } } }))).participants ?? [];
  }

  /** Shows a message at once and sends it; answers what it is known by meanwhile. */
  send(content: SendContent, { replyTo, mentions, mentionsEveryone, file, album }: Beside = {}): string {
    const reference = `dashboard-${uuid()}`;
    const url = file && /^(image|video|audio)\//.test(file.type) ? URL.createObjectURL(file) : undefined;
    const self = { id: '', kind: 'user' as const };
    const shown = { ...content } as Message['content'];
    if (file) shown.media = { id: '', url: '', mimetype: file.type, size: file.size, sha256: '', fileName: file.name };
    const message: Message = {
      id: reference, whatsappId: '', sessionId: this.session, chatId: this.id, direction: 'outgoing', from: self, to: { id: this.id, kind: this.chat?.kind ?? 'user' }, status: 'queued',
      content: shown, timestamp: new Date(stream.now()).toISOString(), clientReference: reference, mentions, mentionsEveryone,
      replyTo: replyTo && { whatsappId: replyTo.whatsappId, messageId: replyTo.id, from: replyTo.from, text: replyTo.content.text ?? replyTo.content.caption, type: replyTo.content.type },
    };
    this.locals.push({ reference, key: uuid(), uploadKey: uuid(), message, content, replyTo: replyTo?.id, mentions: mentions?.map((m) => m.id), mentionsEveryone, album, file, url, percent: file ? 0 : undefined });
    this.#start(reference);
    return reference;
  }

  #start(reference: string) {
    const done = this.#deliver(reference);
    if (this.locals.find((l) => l.reference === reference)?.content.type === 'album') this.#albums.set(reference, done);
  }

  async #deliver(reference: string): Promise<string | undefined> {
    const local = this.locals.find((l) => l.reference === reference);
    if (!local) return;
    local.problem = undefined;
    try {
      let content = $state.snapshot(local.content) as SendContent;
      if (local.file) {
        const info = await upload(local.file, local.file.name, local.uploadKey, (part) => (local.percent = Math.floor(100 * part)));
        if (local.url) keepOwn(info.id, local.url);
        content = { ...content, media: { mediaId: info.id, mimetype: local.file.type || undefined, fileName: local.file.name } } as SendContent;
        local.percent = 100;
      }
      if (local.album) {
        const albumId = (await this.#albums.get(local.album)) ?? this.items.find((m) => m.clientReference === local.album)?.id;
        if (!albumId) throw this.locals.find((l) => l.reference === local.album)?.problem;
        content = { ...content, albumId } as SendContent;
      }
      const message = await this.#inTurn(() => this.post(content, { key: local.key, clientReference: reference, replyTo: local.replyTo, mentions: local.mentions, mentionsEveryone: local.mentionsEveryone }));
      if (local.url && message.content.media) keepOwn(message.content.media.id, local.url);
      this.take(message, reference);
      this.list.note(message);
      if (message.chatId !== this.id) void this.load();
      return message.id;
    } catch (error) {
      if (!this.#ended) local.problem = problemOf(error);
    }
  }

  /** One request after the other: what was written first is accepted first. An upload waits for nobody, and nobody for it. */
  async #inTurn<T>(request: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    let done = () => {};
    this.#turn = new Promise((resolve) => (done = resolve));
    await before;
    try {
      return await request();
    } finally {
      done();
    }
  }

  /** Sends a message by the way that its chat has. */
  post(content: SendContent, more: { key: string; clientReference?: string; replyTo?: string; mentions?: string[]; mentionsEveryone?: boolean; sendAt?: string }): Promise<Message> {
    const { key, ...rest } = more;
    const header = once(key);
    if (this.chat?.kind === 'channel') {
      return must(api.POST('/v1/sessions/{sessionId}/channels/{channelId}/messages', { params: { path: { sessionId: this.session, channelId: this.id }, header }, body: { content, clientReference: rest.clientReference, sendAt: rest.sendAt } }));
    }
    return must(api.POST('/v1/sessions/{sessionId}/messages', { params: { path: { sessionId: this.session }, header }, body: { to: this.id, content, ...rest } }));
  }

  /** Sends what had no answer again, under the same key; what was refused gets another. An album and what belongs to it are tried again together. */
  retry(local: Local) {
    const album = local.album ?? local.reference;
    const all = this.locals.filter((l) => l.problem && (l.reference === album || l.album === album));
    for (const one of all.sort((a, b) => Number(!!a.album) - Number(!!b.album))) {
      if (one.problem!.status >= 400 && one.problem!.status < 500) {
        one.key = uuid();
        one.uploadKey = uuid();
      }
      this.#start(one.reference);
    }
  }

  /** An album that was not sent takes what belongs to it along. */
  discard(local: Local) {
    this.locals = this.locals.filter((l) => l.reference !== local.reference && l.album !== local.reference);
  }

  /** Does something to a message; answers whether it is done, or waits for the session's connection. */
  async change(request: Promise<{ data?: Answer; error?: unknown; response: Response }>): Promise<'done' | 'waits'> {
    const answer = await must(request);
    if ('content' in answer) this.take(answer);
    else return 'waits';
    return 'done';
  }

  sentAgain(id: string) {
    this.again = new Set(this.again).add(id);
  }
}
