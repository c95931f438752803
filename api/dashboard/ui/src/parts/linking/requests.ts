import type { components } from '../../api/schema';

type Schemas = components['schemas'];
export type QR = Schemas['QR'];
export type PairingCode = Schemas['PairingCode'];
export type Passkey = Schemas['Passkey'];
export type Answer = Schemas['AnswerPasskey'];

/** The ways of linking a phone. A passkey is no way of its own: WhatsApp asks for one after the others. */
export type Way = 'qr' | 'code' | 'passkey';

/** What linking asks of the API. The dashboard asks with its key, the customer's page with its link. */
export interface Requests {
  qr(wait: number, signal: AbortSignal): Promise<QR>;
  code(phone: string): Promise<PairingCode>;
  passkey(signal: AbortSignal): Promise<Passkey>;
  answer(answer: Answer): Promise<Passkey>;
  confirm(): Promise<Passkey>;
  /** Lets a simulated phone link the session; undefined where there is none. */
  simulate?: (number?: string) => Promise<unknown>;
  /** Makes a session that ended show codes again; undefined: whoever is here may not. */
  renew?: () => Promise<unknown>;
}

/** What events have told since; where there are none it stays empty. */
export interface News {
  /** Counts the QR codes, and what made them void. */
  qr: number;
  code?: PairingCode;
  passkey?: Passkey;
}

/** Whole seconds until then. */
export function secondsLeft(until: string | undefined, now: number): number {
  return until ? Math.max(0, Math.ceil((Date.parse(until) - now) / 1000)) : 0;
}
