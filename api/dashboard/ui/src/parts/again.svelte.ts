import { untrack } from 'svelte';
import { stream } from '../api/stream.svelte';

/** Seconds that pass at least between one reading and the next, when nothing has become of it: ever more, and not without end. */
const waits = [1, 1, 2, 2, 3, 5, 5, 10, 15, 30, 60];

/**
 * Reads again what changes without an event that says so: at the time that `at` names (server time, in ms), and only while the page is looked at. `at` is
 * undefined for what is settled. It is called while a component is made, and is no poll: what does not move is read eleven times at most.
 */
export function again(at: () => number | undefined, read: () => unknown) {
  let tries = 0;
  let last: number | undefined;
  $effect(() => {
    const due = at();
    if (due === undefined) {
      tries = 0;
      last = undefined;
      return;
    }
    if (last !== undefined && due !== last) tries = 0;
    last = due;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = () => {
      const least = waits[tries];
      if (least === undefined) return;
      timer = setTimeout(() => {
        if (document.hidden) {
          document.addEventListener('visibilitychange', wait, { once: true });
          return;
        }
        tries++;
        untrack(read);
        wait();
      }, Math.max(due + 500 - stream.now(), least * 1000));
    };
    wait();
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', wait);
    };
  });
}
