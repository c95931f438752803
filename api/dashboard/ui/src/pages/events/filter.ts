import type { ChasquiEvent } from '../../api/stream.svelte';
import { chatOf, kindOf } from './summary';

/** What the monitor shows; '' and [] are all. The meaning is that of the API's filters (docs/events.md). */
export interface Filter {
  types: string[];
  session: string;
  direction: string;
  kind: string;
  text: string;
}

/** The filter that an address has. */
export function readFilter(get: (name: string) => string): Filter {
  return { types: get('type').split(',').filter(Boolean), session: get('session'), direction: get('direction'), kind: get('kind'), text: get('q').trim().toLowerCase() };
}

export const isEmpty = (f: Filter) => f.types.length === 0 && !f.session && !f.direction && !f.kind && !f.text;

// Each event is written out once, not at every commit.
const written = new WeakMap<ChasquiEvent, string>();
function textOf(event: ChasquiEvent): string {
  let text = written.get(event);
  if (text === undefined) written.set(event, (text = JSON.stringify(event).toLowerCase()));
  return text;
}

/** incoming, outgoing, or '' where an event is about no message. */
function directionOf({ type, data }: ChasquiEvent): string {
  if (type.startsWith('webhook.')) return '';
  return data?.message?.direction ?? data?.direction ?? { 'message.received': 'incoming', 'message.sent': 'outgoing', 'message.status': 'outgoing' }[type] ?? '';
}

/** A function that says whether the filter lets an event pass. */
export function wants(f: Filter): (event: ChasquiEvent) => boolean {
  const exact = new Set(f.types.filter((t) => !t.endsWith('*')));
  const prefixes = f.types.filter((t) => t.endsWith('*')).map((t) => t.slice(0, -1));
  return (event) => {
    if (f.types.length && !exact.has(event.type) && !prefixes.some((p) => event.type.startsWith(p))) return false;
    if (f.session && event.sessionId !== f.session) return false;
    if (f.direction) {
      const direction = directionOf(event);
      if (direction && direction !== f.direction) return false;
    }
    if (f.kind) {
      const chat = chatOf(event);
      if (chat && kindOf(chat) !== f.kind) return false;
    }
    return !f.text || textOf(event).includes(f.text);
  };
}
