import { untrack } from 'svelte';
import { api, must, type Schemas } from '../../api/client';
import { Resource } from '../../api/resource.svelte';
import { stream } from '../../api/stream.svelte';

export const ranges = { '1h': 3600, '6h': 6 * 3600, '24h': 24 * 3600, '7d': 7 * 24 * 3600 } as const;
export type Range = keyof typeof ranges;

/**
 * What happened in a range of time. The stream tells the newest two minutes every 5 s: where a step is a minute they take the place of what was
 * loaded, else the whole is loaded anew as a minute ends, for percentiles of minutes do not make one of an hour.
 */
export class Figures {
  #loaded: Resource<Schemas['Stats']>;
  #range: () => Range;
  #minute = '';

  constructor(range: () => Range) {
    this.#range = range;
    this.#loaded = new Resource((signal) => must(api.GET('/v1/stats', { params: { query: { since: new Date(stream.now() - ranges[range()] * 1000).toISOString() } }, signal })));
    this.#loaded.follow(range);
    $effect(() => {
      const told = stream.stats;
      if (told) untrack(() => this.#tell(told));
    });
  }

  get resource() {
    return this.#loaded;
  }

  get steps(): Schemas['StatsStep'][] {
    return this.#loaded.data?.data ?? [];
  }

  get step(): number {
    return this.#loaded.data?.step ?? 60;
  }

  #tell(told: Schemas['Stats']) {
    const had = this.#loaded.data;
    const first = told.data[0];
    const newest = told.data.at(-1);
    if (!had || !first || !newest || this.#loaded.loading) return;
    if (had.step !== 60) {
      if (this.#minute && this.#minute !== newest.at) void this.#loaded.load();
      this.#minute = newest.at;
      return;
    }
    // A tab that was away has a hole, which is loaded.
    if (Date.parse(first.at) > Date.parse(had.until)) {
      void this.#loaded.load();
      return;
    }
    const since = Date.parse(newest.at) - ranges[this.#range()] * 1000;
    const kept = had.data.filter((s) => s.at < first.at && Date.parse(s.at) >= since);
    this.#loaded.data = { ...had, until: told.until, data: [...kept, ...told.data] };
  }
}

/** The topic of the queue whose oldest work has been due for longest, and for how many seconds. */
export function worstLag(lag: Schemas['StatsQueueLag']): { topic: keyof Schemas['StatsQueueLag']; seconds: number } {
  const topics = ['commands', 'events', 'media', 'deliveries'] as const;
  const topic = topics.reduce((worst, one) => (lag[one] > lag[worst] ? one : worst));
  return { topic, seconds: lag[topic] };
}
