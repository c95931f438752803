import type {Event, ThinEvent} from './generated/types.gen.js'

/** How far a webhook's time may be from ours, in seconds, as Standard Webhooks 1.0 has it. */
const tolerance = 300

/** A webhook that is not to be believed. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError'
}

type HeaderSource = Headers | Record<string, string | string[] | undefined>

/** Whether an event came without its data, since it has more than 256 KiB: get it by chasqui.whole(event). */
export function isThin(event: Event | ThinEvent): event is ThinEvent {
  return 'dataUrl' in event
}

/**
 * Checks that a webhook comes from chasqui, and returns its event. The body must be the bytes as they came, or the text that they are. A secret is what
 * the endpoint's creation answered, whsec_ and all; give the new and the old one while you change it. An event can come twice: its id tells.
 */
export async function verifyWebhook(
  headers: HeaderSource,
  body: string | Uint8Array,
  secrets: string | readonly string[],
  now: Date = new Date(),
): Promise<Event | ThinEvent> {
  const [id, at, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(name => header(headers, name))
  if (!id || !at || !signatures || !/^\d+$/.test(at)) {
    throw new WebhookError('the webhook lacks webhook-id, webhook-timestamp or webhook-signature')
  }
  if (Math.abs(now.getTime() / 1000 - Number(at)) > tolerance) throw new WebhookError('the webhook was not signed within the last 5 minutes')
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  const head = new TextEncoder().encode(`${id}.${at}.`)
  const signed = new Uint8Array(head.length + bytes.length)
  signed.set(head)
  signed.set(bytes, head.length)
  for (const secret of typeof secrets === 'string' ? [secrets] : secrets) {
    const raw = base64(secret.replace(/^whsec_/, ''))
    if (raw === undefined || raw.length === 0) throw new TypeError("a webhook's secret is whsec_ and base64")
    const key = await crypto.subtle.importKey('raw', raw, {name: 'HMAC', hash: 'SHA-256'}, false, ['verify'])
    for (const one of signatures.split(' ')) {
      const [version, encoded = ''] = one.split(',')
      const signature = base64(encoded)
      // verify compares in constant time
      if (version === 'v1' && signature !== undefined && (await crypto.subtle.verify('HMAC', key, signature, signed))) {
        return JSON.parse(new TextDecoder().decode(bytes)) as Event | ThinEvent
      }
    }
  }
  throw new WebhookError("none of the webhook's signatures is right")
}

function header(headers: HeaderSource, name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined
  const value = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1]
  return typeof value === 'string' ? value : value?.[0]
}

function base64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), c => c.charCodeAt(0))
  } catch {
    return undefined
  }
}
