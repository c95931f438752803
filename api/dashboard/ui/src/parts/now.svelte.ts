import { stream } from '../api/stream.svelte';

/** The server's time, a second at a time; one timer for the whole page, which runs while it is looked at. */
export const now = $state({ value: Date.now() });

setInterval(() => {
  if (!document.hidden) now.value = stream.now();
}, 1000);
