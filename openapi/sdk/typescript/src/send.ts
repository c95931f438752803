import {ChasquiError} from './error.js'

/** How long a client waits by itself, in ms. Where the server says that it takes longer, the caller decides. */
export const longestWait = 30_000

export interface Sending {
  apiKey: string
  fetch: typeof globalThis.fetch
  timeout: number
  attempts: number
}

/**
 * Returns a fetch that repeats requests and throws problems.
 *
 * Failure policy: what fails on the way, and what the server says will pass, is repeated after 0.5, 1 and 2 s, or after Retry-After. A POST carries
 * one Idempotency-Key in all attempts, so that it is done once.
 */
export function sender({apiKey, fetch, timeout, attempts}: Sending): (request: Request) => Promise<Response> {
  return async request => {
    request.headers.set('X-API-Key', apiKey)
    if (!request.headers.has('Accept')) request.headers.set('Accept', 'application/json, */*;q=0.5')
    if (request.method === 'POST' && !request.headers.has('Idempotency-Key')) request.headers.set('Idempotency-Key', crypto.randomUUID())
    for (let attempt = 1; ; attempt++) {
      const last = attempt >= attempts
      try {
        return await once(fetch, last ? request : request.clone(), timeout)
      } catch (error) {
        const wait = pause(error, attempt)
        if (last || wait === undefined || request.signal.aborted) throw error
        await sleep(wait, request.signal)
      }
    }
  }
}

/** How long to wait after an error, in ms, or undefined where that is not worth it. */
function pause(error: unknown, attempt: number): number | undefined {
  const wait = Math.min(250 * 2 ** attempt, longestWait) * (0.5 + Math.random() / 2)
  if (!(error instanceof ChasquiError)) return wait // nobody answered
  const asked = (error.retryAfter ?? 0) * 1000
  return error.passes && asked <= longestWait ? Math.max(wait, asked) : undefined
}

/** Sends a request once. JSON is read here, within the timeout; whoever gets anything else reads it as long as that takes. */
async function once(fetch: typeof globalThis.fetch, request: Request, timeout: number): Promise<Response> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(new Error(`no answer within ${timeout} ms`)), timeout)
  try {
    const response = await fetch(request, {signal: AbortSignal.any([request.signal, late.signal])})
    if (!response.ok) throw new ChasquiError(response, await response.text())
    if (!response.headers.get('Content-Type')?.startsWith('application/json')) return response
    return new Response(await response.text(), response)
  } finally {
    clearTimeout(timer)
  }
}

/** Waits, and throws when the signal aborts meanwhile. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  await new Promise<void>((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', aborted)
      resolve()
    }, ms)
    signal.addEventListener('abort', aborted, {once: true})
  })
}
