import { api, must, once, type Problem, problemOf, type Schemas } from '../../api/client';
import { contentUrl, forgetTicket } from '../../api/files';

export type MediaInfo = Schemas['MediaInfo'];

// A browser opens six connections to a host, of which the stream has one; a file that is on its way from WhatsApp holds one for 30 s.
const atOnce = 3;

let running = 0;
const waiting: (() => void)[] = [];

/** Waits for a turn to load a file; call what it returns once it is loaded or not. */
async function turn(): Promise<() => void> {
  if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  let given = false;
  return () => {
    if (given) return;
    given = true;
    running--;
    waiting.shift()?.();
  };
}

/** Files that this page has sent: they are shown from memory, and need not be loaded. The oldest are let go of: they can be loaded then. */
const own = new Map<string, string>();
const mostOwn = 60;
export function keepOwn(id: string, url: string) {
  own.set(id, url);
  const [oldest] = own;
  if (!oldest || own.size <= mostOwn) return;
  own.delete(oldest[0]);
  if (![...own.values()].includes(oldest[1])) URL.revokeObjectURL(oldest[1]);
}

/**
 * One file of a message: `src` once it may be loaded, and otherwise why it is not there. A GET of a file that is on its way waits for it for 30 s, so what is
 * pending is asked for a few times, and then when somebody asks.
 */
export class MediaFile {
  src = $state('');
  state = $state<'waiting' | 'loading' | 'ready' | 'pending' | 'failed' | 'expired' | 'unplayable'>('waiting');
  info = $state.raw<MediaInfo>();
  problem = $state.raw<Problem>();
  #id: string;
  #release?: () => void;
  #tries = 0;
  #gone = false;

  constructor(id: string, local?: string) {
    this.#id = id;
    const url = local ?? own.get(id);
    if (url) {
      this.src = url;
      this.state = 'ready';
    }
  }

  /** Loads it when its turn comes. */
  async load() {
    if (this.state === 'ready' || this.state === 'loading') return;
    this.state = 'loading';
    this.problem = undefined;
    const release = await turn();
    if (this.#gone) return release();
    this.#release = release;
    try {
      this.src = await contentUrl(this.#id);
      this.#tries++;
    } catch (error) {
      this.problem = problemOf(error);
      this.state = 'failed';
      release();
    }
  }

  /** What is known of it: how long it plays, and whether it is there. */
  async ask(): Promise<MediaInfo | undefined> {
    const release = await turn();
    try {
      if (!this.#gone) this.info = await must(api.GET('/v1/media/{mediaId}', { params: { path: { mediaId: this.#id } } }));
    } catch {
      // it is shown without
    }
    release();
    return this.info;
  }

  loaded = () => {
    this.state = 'ready';
    this.#release?.();
  };

  /** It did not load: why? */
  broken = async () => {
    this.#release?.();
    if (this.#gone) return;
    this.src = '';
    const info = await this.ask();
    if (this.#gone) return;
    if (info?.status === 'pending') {
      this.state = 'pending';
      if (this.#tries < 4) {
        this.state = 'waiting';
        void this.load().then(() => this.src && (this.state = 'pending'));
      }
    } else if (info?.status === 'failed' || info?.status === 'expired') {
      this.state = info.status;
    } else if (info?.status === 'ready' && this.#tries < 2) {
      forgetTicket();
      this.state = 'waiting';
      void this.load();
    } else {
      this.state = 'unplayable';
    }
  };

  failed = () => {
    this.src = '';
    this.state = 'failed';
    this.#release?.();
  };

  again = () => {
    this.#tries = 1;
    this.state = 'waiting';
    void this.load();
  };

  /** Asks the owner's phone for it. */
  async retry(sessionId: string, messageId: string) {
    try {
      const info = await must(api.POST('/v1/sessions/{sessionId}/messages/{messageId}/media/retry', { params: { path: { sessionId, messageId }, header: once() } }));
      this.info = info;
      this.state = 'waiting';
      this.again();
    } catch (error) {
      this.problem = problemOf(error);
    }
  }

  close() {
    this.#gone = true;
    this.#release?.();
  }
}
