import { api, must, type Problem, problemOf, type Schemas } from './client';
import { stream } from './stream.svelte';

export type Session = Schemas['Session'];

// A key sees a few sessions or a few hundred; beyond this many the list is cut, and says so.
const most = 5000;

/** All sessions that the key sees, kept true by the stream. */
class Sessions {
  all = $state.raw<Session[]>([]);
  loaded = $state(false);
  loading = $state(false);
  problem = $state.raw<Problem>();
  /** There are more than are loaded. */
  cut = $state(false);
  #again = false;

  constructor() {
    stream.onGap(() => this.loaded && void this.reload());
    stream.listen((events) => {
      const heard = new Map<string, string>();
      for (const event of events) {
        if (event.type.startsWith('session.') && event.data.session) {
          this.#patch(event.data.session);
          // A session that is deleted says this last; so does one that was logged out while it was stopped.
          if (event.data.session.state === 'logged_out' && event.data.session.desired === 'stopped') void this.#look(event.data.session.id);
        }
        else if (event.sessionId && event.type !== 'message.status') heard.set(event.sessionId, event.timestamp);
      }
      if (heard.size > 0) this.all = this.all.map((s) => (heard.has(s.id) ? { ...s, lastEventAt: heard.get(s.id) } : s));
    });
  }

  #patch(session: Session) {
    const had = this.get(session.id);
    if (had) this.put({ ...session, settings: session.settings ?? had.settings, lastEventAt: session.lastEventAt ?? had.lastEventAt });
    else void this.reload();
  }

  /** Takes a session out if it is there no more. */
  async #look(id: string) {
    try {
      await must(api.GET('/v1/sessions/{sessionId}', { params: { path: { sessionId: id } } }));
    } catch (error) {
      if (problemOf(error).code === 'session_not_found') this.remove(id);
    }
  }

  /** Takes a session as the API has answered it. */
  put(session: Session) {
    const at = this.all.findIndex((s) => s.id === session.id);
    this.all = at >= 0 ? this.all.with(at, session) : [session, ...this.all];
  }

  remove(id: string) {
    this.all = this.all.filter((s) => s.id !== id);
  }

  get(id: string): Session | undefined {
    return this.all.find((s) => s.id === id);
  }

  reset() {
    this.all = [];
    this.loaded = false;
    this.problem = undefined;
  }

  async reload(): Promise<void> {
    if (this.loading) {
      this.#again = true;
      return;
    }
    this.loading = true;
    try {
      const all: Session[] = [];
      let cursor: string | undefined;
      do {
        const page: Schemas['ListSession'] = await must(api.GET('/v1/sessions', { params: { query: { limit: 200, cursor } } }));
        all.push(...page.data);
        cursor = page.hasMore ? page.nextCursor : undefined;
      } while (cursor && all.length < most);
      this.all = all;
      this.cut = !!cursor;
      this.loaded = true;
      this.problem = undefined;
    } catch (error) {
      this.problem = problemOf(error);
    }
    this.loading = false;
    if (this.#again) {
      this.#again = false;
      await this.reload();
    }
  }
}

export const sessions = new Sessions();
