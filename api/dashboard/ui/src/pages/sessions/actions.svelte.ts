import { SvelteMap } from 'svelte/reactivity';
import { auth } from '../../api/auth.svelte';
import { api, must, once, type Problem, problemOf } from '../../api/client';
import { type Session, sessions } from '../../api/sessions.svelte';
import { stream } from '../../api/stream.svelte';

export type Verb = 'start' | 'stop' | 'restart' | 'logout';

// How long an action waits for the event that tells of its end; WhatsApp mostly needs a second.
const patience = 20_000;

/** Whether a session may have a phone: the number outlives a logout, so the state has to be asked too. */
export function isLinked(session: Session): boolean {
  return ['connected', 'reconnecting', 'restricted', 'replaced'].includes(session.state) || (!!session.phone && ['starting', 'stopped', 'failed', 'banned'].includes(session.state));
}

/** Whether it waits for a phone, or will once it is started. */
export function waitsForPhone(session: Session): boolean {
  return !isLinked(session);
}

/** What can be done with a session as it is; nothing without the scope. */
export function verbs(session: Session): Verb[] {
  if (!auth.can('manage')) return [];
  const rests = session.desired === 'stopped' || session.state === 'stopped';
  const all: Verb[] = [];
  if (rests || session.state === 'logged_out') all.push('start');
  else all.push('restart');
  if (!rests) all.push('stop');
  if (isLinked(session)) all.push('logout');
  return all;
}

/** Whether a state is what an action leads to. */
function settled(verb: Verb, state: string, before: string): boolean {
  if (verb === 'stop') return state === 'stopped';
  if (verb === 'logout') return state === 'logged_out';
  return verb === 'restart' || state !== before;
}

/**
 * What is being done with sessions, whichever part of the page asked for it. The API answers an action at once; it is done when an event tells the
 * new state, and given up waiting for after a while, which does not undo it.
 */
class Actions {
  busy = new SvelteMap<string, Verb>();
  problems = new SvelteMap<string, Problem>();
  /** Sessions whose event has not come in time. */
  late = new SvelteMap<string, true>();

  /** Does something and waits for its event. It does not throw: `problems` tells. */
  async run(session: Session, verb: Verb): Promise<void> {
    const { id, state: before } = session;
    if (this.busy.has(id)) return;
    this.busy.set(id, verb);
    this.problems.delete(id);
    this.late.delete(id);
    const told = this.#await(id, verb, before);
    try {
      const answered = await must(api.POST(`/v1/sessions/{sessionId}/${verb}`, { params: { path: { sessionId: id }, header: once() } }));
      sessions.put(answered);
      if (verb !== 'restart' && settled(verb, answered.state, before)) told.stop(true);
      if (!(await told.promise)) {
        this.late.set(id, true);
        await sessions.reload();
      }
    } catch (error) {
      this.problems.set(id, problemOf(error));
    }
    told.stop(false);
    this.busy.delete(id);
  }

  #await(id: string, verb: Verb, before: string): { promise: Promise<boolean>; stop: (done: boolean) => void } {
    let stop = (_: boolean) => {};
    const promise = new Promise<boolean>((resolve) => {
      const silent = stream.listen((events) => {
        if (events.some((e) => e.type === 'session.status' && e.sessionId === id && settled(verb, e.data.session.state, before))) stop(true);
      });
      const timer = setTimeout(() => stop(false), patience);
      stop = (done) => {
        silent();
        clearTimeout(timer);
        resolve(done);
      };
    });
    return { promise, stop };
  }

  /** Deletes a session, and with it its link on the phone unless it goes on elsewhere; what is refused is thrown. */
  async remove(id: string, unlink: boolean): Promise<void> {
    await must(api.DELETE('/v1/sessions/{sessionId}', { params: { path: { sessionId: id }, query: { unlink } } }));
    sessions.remove(id);
  }
}

export const doing = new Actions();
