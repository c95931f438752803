import type { components } from './schema';

/** What the API refused, or could not do: an RFC 9457 problem. A request that got no answer has code "unreachable". */
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
