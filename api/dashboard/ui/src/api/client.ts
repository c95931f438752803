import createClient from 'openapi-fetch';
import type { components, paths } from './schema';
import { auth } from './auth.svelte';

/** The shapes of the API, by their names in the OpenAPI document. */
export type Schemas = components['schemas'];

/** What the API refused, or could not do: an RFC 9457 problem. A request that got no answer has code "unreachable". */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly requestId: string;
  readonly errors: { code?: string; message?: string; location?: string }[];
  /** Seconds after which to try again, where the API said so. */
  readonly retryAfter?: number;

  constructor(body: Partial<Schemas['Problem']>, status: number, retryAfter?: number) {
    super(body.detail || body.title || String(status));
    this.status = status;
    this.code = body.code ?? 'unreachable';
    this.title = body.title ?? '';
    this.requestId = body.requestId ?? '';
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** The problem that a caught value is. */
export function problemOf(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem({ detail: error instanceof Error ? error.message : String(error) }, 0);
}

/**
 * The typed client. The key goes into a header, never into a URL. A 401 signs out: a key that was deleted or has expired opens nothing more.
 */
export const api = createClient<paths>({ baseUrl: '/' });

api.use({
  onRequest({ request }) {
    if (auth.key) request.headers.set('X-API-Key', auth.key);
    return request;
  },
  onResponse({ response }) {
    if (response.status === 401) auth.expire();
    return response;
  },
});

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** What a request answers; a refusal is thrown as a Problem. */
export async function must<T>(request: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem({ code: 'unreachable', detail: error instanceof Error ? error.message : String(error) }, 0);
  }
  const { response, data, error } = answer;
  if (!response.ok) {
    const wait = Number(response.headers.get('Retry-After'));
    throw new Problem(typeof error === 'object' && error ? (error as Partial<Schemas['Problem']>) : {}, response.status, wait || undefined);
  }
  return data as T;
}

/** The header that makes a repeat of this request harmless: give the same value again when no answer came. */
export function once(key: string = crypto.randomUUID()): { 'Idempotency-Key': string } {
  return { 'Idempotency-Key': key };
}
