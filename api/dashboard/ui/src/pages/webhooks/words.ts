import type { Schemas } from '../../api/client';
import { number } from '../../i18n/i18n.svelte';
import type { Messages } from '../../i18n/en';
import type { Tone } from '../../parts/State.svelte';

export type Endpoint = Schemas['Endpoint'];
export type Delivery = Schemas['Delivery'];
export type Attempt = Schemas['Attempt'];

const tones: Record<string, Tone> = { pending: 'info', sending: 'info', succeeded: 'ok', exhausted: 'bad', cancelled: 'idle', held: 'warn' };

/** How a delivery's state is shown; one that this page does not know keeps its own name. */
export function deliveryState(state: string, t: Messages): { tone: Tone; text: string } {
  return { tone: tones[state] ?? 'idle', text: (t.webhooks.states as Record<string, string>)[state] ?? state };
}

export function className(name: string | undefined, t: Messages): string {
  return name ? ((t.webhooks.classes as Record<string, string>)[name] ?? name) : '';
}

/** What came of the last attempt, and how many there were: 503 · 2 attempts. */
export function outcome(d: Delivery, t: Messages): string {
  const last = d.lastStatus ? String(d.lastStatus) : className(d.lastClass, t);
  return [last, d.attemptCount > 0 && t.webhooks.attempts(d.attemptCount)].filter(Boolean).join(' · ');
}

/** A URL for people to read: without user, password and query, which may hold secrets. */
export function bare(url: string | undefined): string {
  return (url ?? '').replace(/^(\w+:\/\/)[^/@]*@/, '$1').replace(/[?#].*$/, '');
}

/** How an endpoint does, the worst first: what is shown of it, and where it stands in the list. */
export function health(e: Endpoint, t: Messages): { tone: Tone; text: string; rank: number } {
  const w = t.webhooks;
  if (e.state === 'disabled') return { tone: 'bad', text: w.disabled, rank: 0 };
  if (e.state === 'paused') return { tone: 'idle', text: w.paused, rank: 4 };
  if (e.breaker === 'open') return { tone: 'bad', text: w.failing, rank: 1 };
  if (e.breaker === 'half_open') return { tone: 'warn', text: w.probing, rank: 2 };
  if (e.consecutiveFailures > 0) return { tone: 'warn', text: w.failing, rank: 3 };
  return { tone: 'ok', text: w.ok, rank: 5 };
}

/** Which events an endpoint gets. */
export function wanted(e: Endpoint, t: Messages): string {
  if (e.events.includes('*')) return t.webhooks.allEvents;
  return e.events.length <= 3 ? e.events.join(', ') : t.webhooks.eventsChosen(e.events.length);
}

/** 187 ms, 1.2 s. */
export function took(ms: number): string {
  return ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000, 1)} s`;
}

/** A time for an input of type datetime-local, and back. */
export function toLocal(iso: string): string {
  if (!iso) return '';
  const date = new Date(iso);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
export function fromLocal(value: string): string {
  return value ? new Date(value).toISOString() : '';
}
