import type {FieldError, Problem} from './generated/types.gen.js'

/** A problem that chasqui answered. Decide by its code. */
export class ChasquiError extends Error {
  override readonly name = 'ChasquiError'
  /** What went wrong, such as session_not_found. Empty where the answer is not chasqui's but a proxy's. */
  readonly code: string
  /** The status of the HTTP answer. */
  readonly status: number
  readonly title: string
  readonly detail: string
  /** Names the request in chasqui's log. */
  readonly requestId: string | undefined
  /** Seconds to wait before it is worth another try, where chasqui said so. */
  readonly retryAfter: number | undefined
  /** What is wrong with which part of the request, where it is validation_failed. */
  readonly errors: readonly FieldError[]
  /** The message that failed, where Prefer: wait=N waited for it. */
  readonly messageId: string | undefined

  constructor(response: Response, body: string) {
    let problem: Partial<Problem> = {}
    try {
      problem = JSON.parse(body) as Partial<Problem>
    } catch {
      // a proxy's page
    }
    const detail = problem?.detail ?? `the answer is no problem of chasqui's: ${response.status} ${response.statusText}`
    super(`${problem?.code ?? response.status}: ${detail}`)
    this.code = problem?.code ?? ''
    this.status = response.status
    this.title = problem?.title ?? response.statusText
    this.detail = detail
    this.requestId = problem?.requestId ?? response.headers.get('X-Request-Id') ?? undefined
    this.retryAfter = seconds(response.headers.get('Retry-After'))
    this.errors = problem?.errors ?? []
    this.messageId = problem?.messageId
  }

  /** Whether it may be gone in a moment. */
  get passes(): boolean {
    switch (this.status) {
      case 429:
        return this.code !== 'account_restricted'
      case 502:
        return this.code !== 'whatsapp_rejected'
      case 500:
      case 503:
      case 504:
        return true
      default:
        return this.code === 'idempotency_in_progress'
    }
  }
}

function seconds(header: string | null): number | undefined {
  if (header === null) return undefined
  if (/^\d+$/.test(header)) return Number(header)
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, (at - Date.now()) / 1000)
}
