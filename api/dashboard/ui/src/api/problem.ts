import type { components } from './schema';

/** What the API refused, or could not do: an RFC 9457 problem. A request that got no answer has code "unreachable"; what went wrong in the page itself has none. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly requestId: string;
  readonly errors: { code?: string; message?: string; location?: string }[];
  /** Seconds after which to try again, where the API said so. */
  readonly retryAfter?: number;

  constructor(body: Partial<components['schemas']['Problem']>, status: number, retryAfter?: number) {
    super(body.detail || body.title || String(status));
    this.status = status;
    this.code = body.code ?? '';
    this.title = body.title ?? '';
    this.requestId = body.requestId ?? '';
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** The problem that a caught value is; what is none of the API's is the page's own. */
export function problemOf(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem({ code: 'page', detail: error instanceof Error ? error.message : String(error) }, 0);
}

/** A problem of a field that this page has found itself. */
export function atField(location: string, message: string): Problem {
  return new Problem({ code: 'validation_failed', errors: [{ code: 'invalid', location, message }] }, 0);
}
