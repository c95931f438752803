import {events, type EventsOptions} from './events.js'
import {createClient, createConfig} from './generated/client/index.js'
import {Operations} from './generated/sdk.gen.js'
import type {Change, Event, TextContent, ThinEvent} from './generated/types.gen.js'
import {sender} from './send.js'
import {isThin} from './webhook.js'

export interface ChasquiOptions {
  /** Where chasqui is, such as https://chasqui.example.com. */
  url: string
  apiKey: string
  /** In place of the runtime's own. */
  fetch?: typeof globalThis.fetch
  /** Of one attempt, in ms: 90,000 unless given, since requests may wait up to 30 s for WhatsApp. */
  timeout?: number
  /** At most for a request: 4 unless given; 1 repeats nothing. */
  attempts?: number
}

/** Calls the API. Problems are thrown as ChasquiError. */
export class Chasqui extends Operations {
  readonly #send: (request: Request) => Promise<Response>
  readonly #url: string

  constructor({url, apiKey, fetch = globalThis.fetch.bind(globalThis), timeout = 90_000, attempts = 4}: ChasquiOptions) {
    const send = sender({apiKey, fetch, timeout, attempts})
    const baseUrl = url.replace(/\/+$/, '')
    // A redirect would take the key to where nobody meant to send it.
    super({
      client: createClient(createConfig({
        baseUrl, throwOnError: true, responseStyle: 'data', redirect: 'error', querySerializer: {array: {explode: false, style: 'form'}},
        fetch: (input, init) => send(new Request(input, init)),
      })),
    })
    this.#send = send
    this.#url = baseUrl
  }

  /** Follows what happens by SSE, and goes on where it broke: for await (const event of chasqui.events()). */
  events(options: EventsOptions = {}): AsyncGenerator<Event, void, undefined> {
    const open = (path: string, headers: Record<string, string>, signal: AbortSignal) =>
      this.#send(new Request(this.#url + path, {headers, signal, redirect: 'error', cache: 'no-store'}))
    return events(open, options)
  }

  /** Returns a webhook's event, and gets it where it was too large for a webhook. */
  async whole(event: Event | ThinEvent): Promise<Event> {
    return isThin(event) ? this.getEvent({path: {eventId: event.id}}) : event
  }
}

/** A text as sendMessage takes it. */
export function text(text: string): TextContent {
  return {type: 'text', text}
}

/** Header that lets an operation wait up to so many seconds, at most 30, for WhatsApp: it then answers what has become of it, and not that it is queued. */
export function wait(seconds: number): {Prefer: string} {
  return {Prefer: `wait=${seconds}`}
}

/** Whether an operation that changes something was not done within the wait, and still will be: the answer is then the Change. */
export function isQueued<T extends object>(answer: T | Change): answer is Change {
  return 'kind' in answer && 'id' in answer && typeof answer.id === 'string' && answer.id.startsWith('chg_')
}

interface Page<T> {
  data: T[]
  hasMore: boolean
  nextCursor?: string
}

/**
 * Goes over a list's items, page after page:
 * for await (const m of all(query => chasqui.listMessages({path: {sessionId}, query: {...query, limit: 200}}))).
 * listEvents takes its place as after: all(({cursor}) => chasqui.listEvents({query: {after: cursor}})).
 */
export async function* all<T>(get: (query: {cursor?: string}) => Promise<Page<T>>): AsyncGenerator<T, void, undefined> {
  let query: {cursor?: string} = {}
  for (;;) {
    const page = await get(query)
    yield* page.data
    if (!page.hasMore || page.nextCursor === undefined) return
    query = {cursor: page.nextCursor}
  }
}
