import type { Tone } from '../parts/State.svelte';
import type { Messages } from '../i18n/en';

const tones: Record<string, Tone> = {
  connected: 'ok', starting: 'info', reconnecting: 'info', qr: 'warn', pairing_code: 'warn', passkey_required: 'warn', stopped: 'idle',
  logged_out: 'bad', banned: 'bad', restricted: 'bad', replaced: 'bad', failed: 'bad',
};

/** How a session's state is shown; one that this page does not know keeps its own name. */
export function sessionState(state: string, t: Messages): { tone: Tone; text: string } {
  return { tone: tones[state] ?? 'idle', text: (t.states as Record<string, string>)[state] ?? state };
}

/** States in which somebody has to do something. */
export const troubled = ['logged_out', 'banned', 'restricted', 'replaced', 'failed'];
/** States in which the session waits to be linked. */
export const linking = ['qr', 'pairing_code', 'passkey_required'];
