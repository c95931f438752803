import type { components } from './schema';

type Me = components['schemas']['Me'];
export type Scope = Me['scopes'][number];

/** Where the key survives a reload of this tab, if its holder wants that. It is never in localStorage, a cookie or a URL. */
const kept = 'chasqui.key';

/** Who is signed in, and what the key may do. */
class Auth {
  key = $state('');
  me = $state.raw<Me>();
  /** Why there is no key any more: the last one was refused. */
  expired = $state(false);

  constructor() {
    try {
      this.key = sessionStorage.getItem(kept) ?? '';
    } catch {
      // a browser that keeps nothing asks for the key at each load
    }
  }

  signIn(key: string, me: Me, remember: boolean) {
    this.key = key;
    this.me = me;
    this.expired = false;
    try {
      if (remember) sessionStorage.setItem(kept, key);
      else sessionStorage.removeItem(kept);
    } catch {
      // as above
    }
  }

  signOut() {
    this.key = '';
    this.me = undefined;
    try {
      sessionStorage.removeItem(kept);
    } catch {
      // as above
    }
  }

  expire() {
    if (!this.key) return;
    this.signOut();
    this.expired = true;
  }

  /** Whether the key has a scope; admin has all. What a key may not do is not shown. */
  can(scope: Scope): boolean {
    const scopes = this.me?.scopes ?? [];
    return scopes.includes(scope) || scopes.includes('admin');
  }

  /** Whether the key is of all sessions, which figures and logs of the whole want. */
  get everywhere(): boolean {
    return this.me?.sessions.length === 0;
  }
}

export const auth = new Auth();
