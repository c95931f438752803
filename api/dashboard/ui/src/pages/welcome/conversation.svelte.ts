import { api, must, type Schemas } from '../../api/client';
import { Resource } from '../../api/resource.svelte';
import { type ChasquiEvent, stream } from '../../api/stream.svelte';

type Message = Schemas['Message'];

// A guide needs the newest of each direction; in a chat that is busy this many are enough to find an answer to something.
const most = 50;

/** Whether a message has come to a session, and whether it was answered: from what it has received and sent, kept true by the stream. */
export class Conversation {
  #session: () => string;
  messages = new Resource<Message[]>(async (signal) => {
    const session = this.#session();
    if (!session) return [];
    const pages = await Promise.all(
      (['incoming', 'outgoing'] as const).map((direction) =>
        must(api.GET('/v1/sessions/{sessionId}/messages', { params: { path: { sessionId: session }, query: { direction, limit: most } }, signal })),
      ),
    );
    return pages.flatMap((p) => p.data);
  });

  constructor(session: () => string) {
    this.#session = session;
    this.messages.follow(() => {
      this.messages.data = undefined;
      return session();
    });
    $effect(() => stream.listen((events) => this.#hear(events)));
    $effect(() => stream.onGap(() => void this.messages.load()));
  }

  #hear(events: ChasquiEvent[]) {
    const told = events.filter((e) => e.sessionId === this.#session() && e.data.message && ['message.received', 'message.sent'].includes(e.type)).map((e) => e.data.message as Message);
    if (told.length === 0 || !this.messages.data) return;
    this.messages.data = [...this.messages.data.filter((m) => !told.some((other) => other.id === m.id)), ...told];
  }

  take(message: Message) {
    this.messages.data = [...(this.messages.data ?? []).filter((m) => m.id !== message.id), message];
  }

  /** The newest that somebody wrote. */
  get received(): Message | undefined {
    return (this.messages.data ?? [])
      .filter((m) => m.direction === 'incoming' && !m.history && m.from.kind === 'user')
      .reduce<Message | undefined>((newest, m) => (newest && newest.timestamp >= m.timestamp ? newest : m), undefined);
  }

  /** The newest answer: sent to a chat from which something had come before. WhatsApp's seconds are too coarse to order a quick answer, so equal is after. */
  get replied(): Message | undefined {
    const all = this.messages.data ?? [];
    const taken = ['sent', 'delivered', 'read', 'played'];
    return all
      .filter((m) => m.direction === 'outgoing' && taken.includes(m.status))
      .filter((m) => all.some((other) => other.direction === 'incoming' && !other.history && other.chatId === m.chatId && Math.floor(Date.parse(other.timestamp) / 1000) <= Math.floor(Date.parse(m.timestamp) / 1000)))
      .reduce<Message | undefined>((newest, m) => (newest && newest.timestamp >= m.timestamp ? newest : m), undefined);
  }
}

/** What a message says. */
export function textOf(message: Message | undefined): string {
  return message?.content.text ?? message?.content.caption ?? '';
}
