import { Problem } from '../api/problem';
import type { components } from '../api/schema';
import type { Answer, PairingCode, Passkey, QR, Requests } from '../parts/linking/requests';

export type LinkState = components['schemas']['LinkState'];

// Where the token survives a reload of this tab. After it was read it stands in no address: neither in the bar, the history nor a screenshot.
const kept = 'chasqui.link';
/** What stands in the address in place of the token. */
const placeholder = 'open';

/** Takes the token out of the address, or out of this tab's storage; '' where there is none. */
export function takeToken(): string {
  const last = decodeURIComponent(location.pathname.split('/').at(-1) ?? '');
  let token = last.startsWith('cl_') ? last : '';
  try {
    if (token) sessionStorage.setItem(kept, token);
    else if (last === placeholder) token = sessionStorage.getItem(kept) ?? '';
  } catch {
    // a browser that keeps nothing has it until it is reloaded
  }
  if (token) history.replaceState(null, '', `/link/${placeholder}`);
  return token;
}

export function forgetToken() {
  try {
    sessionStorage.removeItem(kept);
  } catch {
    // as above
  }
}

/** The API as a link opens it: the token goes in a header, and there is no key. */
export class LinkAPI {
  /** Server time minus ours, in ms. */
  skew = 0;
  #token: string;

  constructor(token: string) {
    this.#token = token;
  }

  /** The server's time, in ms. */
  now(): number {
    return Date.now() + this.skew;
  }

  state(signal?: AbortSignal): Promise<LinkState> {
    return this.#ask('GET', '/v1/link', { signal });
  }

  /** What linking asks for. */
  requests(session: string, sandbox: boolean): Requests {
    const path = `/v1/sessions/${encodeURIComponent(session)}`;
    const slowly = { Prefer: 'wait=30' };
    return {
      qr: (wait: number, signal: AbortSignal) => this.#ask<QR>('GET', `${path}/qr?wait=${wait}`, { signal }),
      code: (phone: string) => this.#ask<PairingCode>('POST', `${path}/pairing-code`, { body: { phone }, headers: slowly }),
      passkey: (signal: AbortSignal) => this.#ask<Passkey>('GET', `${path}/passkey`, { signal }),
      answer: (answer: Answer) => this.#ask<Passkey>('POST', `${path}/passkey/response`, { body: answer, headers: slowly }),
      confirm: () => this.#ask<Passkey>('POST', `${path}/passkey/confirmation`, { headers: slowly }),
      simulate: sandbox ? (number?: string) => this.#ask('POST', `${path}/simulated-scan`, { body: { number } }) : undefined,
    };
  }

  async #ask<T>(method: string, path: string, { body, headers = {}, signal }: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal } = {}): Promise<T> {
    const response = await this.#fetch(path, {
      method, signal, body: body === undefined ? undefined : JSON.stringify(body), credentials: 'omit', cache: 'no-store',
      headers: { Authorization: `Bearer ${this.#token}`, Accept: 'application/json', ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
    });
    const date = Date.parse(response.headers.get('Date') ?? '');
    // The header has whole seconds; less than 1.5 s is no difference.
    if (date) this.skew = Math.abs(date - Date.now()) > 1500 ? date - Date.now() : 0;
    const text = await response.text();
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      answer = {}; // what stands between may answer with a page
    }
    if (!response.ok) throw new Problem({ code: 'internal_error', ...(answer as object) }, response.status, Number(response.headers.get('Retry-After')) || undefined);
    return answer as T;
  }

  async #fetch(path: string, options: RequestInit): Promise<Response> {
    try {
      return await fetch(path, options);
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') throw error;
      throw new Problem({ code: 'unreachable', detail: String(error) }, 0);
    }
  }
}
