import { untrack } from 'svelte';
import { preference } from './preference';
import { router } from './router.svelte';

/** Something that a key does. */
export interface Shortcut {
  key: string;
  /** What it does, for the help. */
  label: string;
  run: () => void;
}

/** Pages that `g` and a letter go to. */
export const jumps: Record<string, string> = { o: '/', s: '/sessions', c: '/chats', e: '/events', w: '/webhooks', k: '/keys' };

/**
 * Single-key shortcuts. They do not act in inputs, and can be switched off (WCAG 2.1.4).
 */
class Keys {
  on = $state(preference('shortcuts') !== 'off');
  palette = $state(false);
  help = $state(false);
  /** Those of what is shown, the newest last. */
  active = $state.raw<Shortcut[]>([]);
  #jump = 0;

  switch(on: boolean) {
    this.on = on;
    preference('shortcuts', on ? 'on' : 'off');
  }

  /** Adds shortcuts until the returned function is called. For `$effect(() => keys.add([...]))`. */
  add(shortcuts: Shortcut[]): () => void {
    // Untracked, or the effect that adds them would run again because of what it has added.
    this.active = [...untrack(() => this.active), ...shortcuts];
    return () => {
      this.active = untrack(() => this.active).filter((s) => !shortcuts.includes(s));
    };
  }

  handle = (event: KeyboardEvent) => {
    if (event.key.toLowerCase() === 'k' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.palette = !this.palette;
      return;
    }
    const target = event.target as HTMLElement;
    if (!this.on || event.ctrlKey || event.metaKey || event.altKey || target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return;
    if (document.querySelector('dialog[open]')) return;
    if (this.#jump && Date.now() - this.#jump < 1500) {
      this.#jump = 0;
      const to = jumps[event.key];
      if (to) {
        event.preventDefault();
        router.go(to);
      }
      return;
    }
    if (event.key === 'g') {
      this.#jump = Date.now();
      return;
    }
    if (event.key === '?') {
      this.help = true;
      return;
    }
    if ((event.key === ' ' || event.key === 'Enter') && /^(BUTTON|A|SUMMARY)$/.test(target.tagName)) return;
    const shortcut = this.active.findLast((s) => s.key === event.key);
    if (shortcut) {
      event.preventDefault();
      shortcut.run();
    }
  };
}

export const keys = new Keys();
