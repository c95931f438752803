import { untrack } from 'svelte';
import { type Problem, problemOf } from './client';

/**
 * Something that is loaded: a panel shows `data` while there is any, also an older one while a newer is on its way or could not be had, and
 * `problem` with a way to try again. Only the newest load counts.
 */
export class Resource<T> {
  data = $state.raw<T>();
  problem = $state.raw<Problem>();
  loading = $state(false);
  #load: (signal: AbortSignal) => Promise<T>;
  #abort?: AbortController;

  constructor(load: (signal: AbortSignal) => Promise<T>) {
    this.#load = load;
  }

  async load(): Promise<void> {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.loading = true;
    try {
      const data = await this.#load(abort.signal);
      if (this.#abort !== abort) return;
      this.data = data;
      this.problem = undefined;
    } catch (error) {
      if (this.#abort !== abort) return;
      this.problem = problemOf(error);
    }
    this.loading = false;
  }

  /** Loads it now and whenever what `depends` reads changes; call it while a component is made. */
  follow(depends: () => unknown): this {
    $effect(() => {
      depends();
      untrack(() => void this.load());
      return () => this.#abort?.abort();
    });
    return this;
  }
}

/** What a list answers. */
export interface Page<T> {
  data: T[];
  nextCursor?: string;
  hasMore: boolean;
}

/** A list that comes in pages by cursor. */
export class Pages<T> {
  items = $state.raw<T[]>([]);
  problem = $state.raw<Problem>();
  loading = $state(false);
  hasMore = $state(false);
  /** Whether the first page has come: an empty list is then known to be empty. */
  loaded = $state(false);
  #load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>;
  #cursor?: string;
  #abort?: AbortController;

  constructor(load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>) {
    this.#load = load;
  }

  /** Loads the first page; what is shown stays until it has come. */
  async reload(): Promise<void> {
    await this.#fetch(undefined, (data) => data);
  }

  /** Loads the next page, if there is one and none is on its way. */
  async more(): Promise<void> {
    if (this.loading || !this.hasMore) return;
    await this.#fetch(this.#cursor, (data) => [...this.items, ...data]);
  }

  async #fetch(cursor: string | undefined, join: (data: T[]) => T[]) {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.loading = true;
    try {
      const page = await this.#load(cursor, abort.signal);
      if (this.#abort !== abort) return;
      this.items = join(page.data);
      this.#cursor = page.nextCursor;
      this.hasMore = page.hasMore;
      this.problem = undefined;
      this.loaded = true;
    } catch (error) {
      if (this.#abort !== abort) return;
      this.problem = problemOf(error);
    }
    this.loading = false;
  }

  /** Loads it now and whenever what `depends` reads changes; call it while a component is made. */
  follow(depends: () => unknown): this {
    $effect(() => {
      depends();
      untrack(() => void this.reload());
      return () => this.#abort?.abort();
    });
    return this;
  }
}
