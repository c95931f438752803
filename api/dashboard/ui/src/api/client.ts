import createClient from 'openapi-fetch';
import type { components, paths } from './schema';
import { auth } from './auth.svelte';
import { Problem, problemOf } from './problem';
import { uuid } from './ids';

/** The shapes of the API, by their names in the OpenAPI document. */
export type Schemas = components['schemas'];

export { Problem, problemOf };

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
export function once(key: string = uuid()): { 'Idempotency-Key': string } {
  return { 'Idempotency-Key': key };
}
