import { untrack } from 'svelte';
import { type Problem, problemOf } from './problem';

/** What is loaded anew from time to time: only the newest load counts, and what is shown stays until another has come. */
abstract class Loading {
  problem = $state.raw<Problem>();
  loading = $state(false);
  #abort?: AbortController;

  /** Loads something, and hands it over unless another load has begun meanwhile. */
  protected async run<T>(load: (signal: AbortSignal) => Promise<T>, take: (data: T) => void): Promise<void> {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.loading = true;
    try {
      const data = await load(abort.signal);
      if (this.#abort !== abort) return;
      take(data);
      this.problem = undefined;
    } catch (error) {
      if (this.#abort !== abort) return;
      this.problem = problemOf(error);
    }
    this.loading = false;
  }

  protected abstract begin(): Promise<void>;

  /** Loads it now and whenever what `depends` reads changes; call it while a component is made. */
  follow(depends: () => unknown): this {
    $effect(() => {
      depends();
      untrack(() => void this.begin());
      return () => this.#abort?.abort();
    });
    return this;
  }
}

/** Something that is loaded: a panel shows `data` while there is any, and `problem` with a way to try again. */
export class Resource<T> extends Loading {
  data = $state.raw<T>();
  #load: (signal: AbortSignal) => Promise<T>;

  constructor(load: (signal: AbortSignal) => Promise<T>) {
    super();
    this.#load = load;
  }

  load(): Promise<void> {
    return this.run(this.#load, (data) => (this.data = data));
  }

  protected begin(): Promise<void> {
    return this.load();
  }
}

/** What a list answers. */
export interface Page<T> {
  data: T[];
  nextCursor?: string;
  hasMore: boolean;
}

/** A list that comes in pages by cursor. */
export class Pages<T> extends Loading {
  items = $state.raw<T[]>([]);
  hasMore = $state(false);
  /** Whether the first page has come: an empty list is then known to be empty. */
  loaded = $state(false);
  #load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>;
  #cursor?: string;

  constructor(load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>) {
    super();
    this.#load = load;
  }

  /** Loads the first page. */
  reload(): Promise<void> {
    return this.#fetch(undefined, (data) => data);
  }

  /** Loads the next page, if there is one and none is on its way. */
  async more(): Promise<void> {
    if (this.loading || !this.hasMore) return;
    await this.#fetch(this.#cursor, (data) => [...this.items, ...data]);
  }

  protected begin(): Promise<void> {
    return this.reload();
  }

  #fetch(cursor: string | undefined, join: (data: T[]) => T[]): Promise<void> {
    return this.run(
      (signal) => this.#load(cursor, signal),
      (page) => {
        this.items = join(page.data);
        this.#cursor = page.nextCursor;
        this.hasMore = page.hasMore;
        this.loaded = true;
      },
    );
  }
}
