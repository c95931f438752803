import { auth } from './auth.svelte';
import type { Schemas } from './client';

/** An event as webhooks carry it: one id everywhere. */
export interface ChasquiEvent {
  id: string;
  type: string;
  timestamp: string;
  sessionId?: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  data: any;
}

export type StreamState = 'connecting' | 'live' | 'paused' | 'offline';
type Listener = (events: ChasquiEvent[]) => void;

/** How many events are kept for the monitor. */
export const kept = 2000;
// A commit every 200 ms: measured, 400 events/s cost 0.25 s of main thread in 5 s; a commit a frame cost 1.5 to 4 s.
const commitEvery = 200;
// The API sends a comment after 15 s of silence, so 35 s of silence are a connection that has died.
const silence = 35_000;
// A tab that nobody has looked at for so long gives its stream back, and resumes it where it left when it is looked at again.
const hiddenFor = 60_000;

/**
 * The one stream of events of this tab. It resumes by Last-Event-ID, so that nothing is missed and nothing comes twice; where there is
 * no place to resume at (the first time, or when the log keeps it no more), listeners of `onGap` load their lists anew.
 */
class Stream {
  state = $state<StreamState>('connecting');
  /** The newest two minutes of GET /v1/stats, every 5 s. */
  stats = $state.raw<Schemas['Stats']>();
  /** The newest events, oldest first. */
  recent = $state.raw<ChasquiEvent[]>([]);
  /** Server time minus ours, in ms: what expires is shown by the server's clock. */
  skew = $state(0);

  #listeners = new Set<Listener>();
  #gaps = new Set<() => void>();
  #last = '';
  #pending: ChasquiEvent[] = [];
  /** Those that were read from the log. */
  #known = new Set<string>();
  #commit?: ReturnType<typeof setTimeout>;
  #watchdog?: ReturnType<typeof setTimeout>;
  #again?: ReturnType<typeof setTimeout>;
  #hide?: ReturnType<typeof setTimeout>;
  #abort?: AbortController;
  #failures = 0;
  #wanted = false;

  constructor() {
    document.addEventListener('visibilitychange', () => {
      clearTimeout(this.#hide);
      if (!this.#wanted) return;
      if (document.hidden) {
        this.#hide = setTimeout(() => this.#close('paused'), hiddenFor);
      } else if (this.state !== 'live') {
        this.#open();
      }
    });
    addEventListener('online', () => this.#wanted && this.state !== 'live' && this.#open());
  }

  /** Hears of events in batches, until the returned function is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hears that events were missed for good, so that lists must be loaded anew. */
  onGap(listener: () => void): () => void {
    this.#gaps.add(listener);
    return () => this.#gaps.delete(listener);
  }

  /** Takes events that were read from the log, oldest first. The stream may bring the newest of them too. */
  before(events: ChasquiEvent[]) {
    const had = new Set(this.recent.map((e) => e.id));
    this.#known = new Set(events.map((e) => e.id));
    this.recent = [...events.filter((e) => !had.has(e.id)), ...this.recent].slice(-kept);
  }

  /** The server's time now, in ms. */
  now(): number {
    return Date.now() + this.skew;
  }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#open();
  }

  /** Ends it and forgets everything: another key may see other events. */
  stop() {
    this.#wanted = false;
    this.#close('connecting');
    clearTimeout(this.#again);
    this.#last = '';
    this.#pending = [];
    this.#known.clear();
    this.recent = [];
    this.stats = undefined;
  }

  #close(state: StreamState) {
    this.#abort?.abort();
    this.#abort = undefined;
    clearTimeout(this.#watchdog);
    this.state = state;
  }

  async #open() {
    this.#close('connecting');
    clearTimeout(this.#again);
    const abort = (this.#abort = new AbortController());
    try {
      const query = auth.everywhere ? '?stats=true' : '';
      const headers: Record<string, string> = { 'X-API-Key': auth.key, Accept: 'text/event-stream' };
      if (this.#last) headers['Last-Event-ID'] = this.#last;
      this.#alive(abort);
      const response = await fetch(`/v1/events/stream${query}`, { headers, signal: abort.signal });
      if (response.status === 401) {
        auth.expire();
        return;
      }
      if (response.status === 410) {
        this.#last = '';
        throw new Error('the place is no longer kept');
      }
      if (!response.ok || !response.body) throw new Error(String(response.status));
      const date = Date.parse(response.headers.get('Date') ?? '');
      if (date) this.skew = Math.abs(date - Date.now()) > 1500 ? date - Date.now() : 0;
      this.state = 'live';
      this.#failures = 0;
      // Without a place to go on from, what lists were loaded before may miss what happened before now.
      if (!this.#last) for (const gap of this.#gaps) gap();
      await this.#read(response.body, abort);
    } catch {
      // the next attempt says whether it lasts
    }
    if (this.#abort !== abort || !this.#wanted) return;
    this.#close('offline');
    const wait = Math.min(30_000, 500 * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
    this.#again = setTimeout(() => this.#open(), wait);
  }

  #alive(abort: AbortController) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => abort.abort(), silence);
  }

  async #read(body: ReadableStream<Uint8Array>, abort: AbortController) {
    const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done || abort.signal.aborted) return;
      this.#alive(abort);
      rest += value;
      const frames = rest.split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) this.#take(frame);
    }
  }

  #take(frame: string) {
    let type = '';
    let data = '';
    for (const line of frame.split('\n')) {
      if (line.startsWith('id: ')) this.#last = line.slice(4);
      else if (line.startsWith('event: ')) type = line.slice(7);
      else if (line.startsWith('data: ')) data += line.slice(6);
    }
    if (!data) return;
    if (type === 'stats') {
      this.stats = JSON.parse(data);
      return;
    }
    this.#pending.push(JSON.parse(data));
    this.#commit ??= setTimeout(() => {
      this.#commit = undefined;
      const batch = this.#pending;
      this.#pending = [];
      const fresh = this.#known.size > 0 ? batch.filter((e) => !this.#known.has(e.id)) : batch;
      this.recent = [...this.recent, ...fresh].slice(-kept);
      for (const listener of this.#listeners) listener(batch);
    }, commitEvery);
  }
}

export const stream = new Stream();
