import {ChasquiError} from './error.js'
import type {Event, ListEventsData} from './generated/types.gen.js'
import {longestWait, sleep} from './send.js'

/** After so many ms of silence a stream is taken for dead: the server says something every 15 s. */
const silence = 45_000
/** Bounds an event, in characters. */
const longestEvent = 64 << 20

type Query = NonNullable<ListEventsData['query']>

export interface EventsOptions extends Pick<Query, 'type' | 'sessionId' | 'chatKind' | 'fromMe'> {
  /**
   * Begins with what came after the event of this id. Keep the id of the last event that you have dealt with, and you miss nothing. Without it: with
   * what happens from now on.
   */
  after?: string
  /** Ends the loop, without an error. */
  signal?: AbortSignal
}

/** Opens a stream, and throws a ChasquiError where it is refused. */
export type Open = (path: string, headers: Record<string, string>, signal: AbortSignal) => Promise<Response>

/**
 * Follows what happens, without an end; abort the signal, or leave the loop, to end it.
 *
 * Failure policy: where the first connection fails it is tried as often as any request. A stream that breaks is opened again where it broke, for as
 * long as it takes, after 1 s, 2 s and so on up to 30 s. What will not pass ends it with a ChasquiError, such as unauthorized, or cursor_expired where
 * what followed is no longer kept.
 */
export async function* events(open: Open, options: EventsOptions): AsyncGenerator<Event, void, undefined> {
  const {after, signal = new AbortController().signal, ...filter} = options
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(filter)) if (value !== undefined) query.set(name, String(value))
  const path = '/v1/events/stream' + (query.size > 0 ? `?${query}` : '')
  let last = after ?? ''
  let opened = false
  for (let failures = 0; ; failures++) {
    let asked = 0
    const quiet = new AbortController()
    let watchdog: ReturnType<typeof setTimeout> | undefined
    try {
      const headers: Record<string, string> = {Accept: 'text/event-stream'}
      if (last !== '') headers['Last-Event-ID'] = last
      const response = await open(path, headers, AbortSignal.any([signal, quiet.signal]))
      opened = true
      const alive = () => {
        clearTimeout(watchdog)
        watchdog = setTimeout(() => quiet.abort(new Error('the stream is silent')), silence)
      }
      alive()
      for await (const block of blocks(response, alive)) {
        if (block.comment) failures = 0
        if (block.id !== undefined) last = block.id
        if (block.data === undefined) continue
        failures = 0
        clearTimeout(watchdog) // its reader may take as long as it likes; the connection may break meanwhile
        yield parse(block.data)
        alive()
      }
    } catch (error) {
      if (signal.aborted) return
      if (!opened || error instanceof SyntaxError || (error instanceof ChasquiError && !error.passes)) throw error
      if (error instanceof ChasquiError) asked = (error.retryAfter ?? 0) * 1000
    } finally {
      clearTimeout(watchdog)
      quiet.abort()
    }
    try {
      await sleep(Math.min(Math.max(1000 * 2 ** Math.min(failures, 5), asked), longestWait), signal)
    } catch {
      return
    }
  }
}

function parse(data: string): Event {
  return JSON.parse(data) as Event
}

interface Block {
  id?: string
  data?: string
  comment?: boolean
}

/** Reads server-sent events; chasqui's data is one line. */
async function* blocks(response: Response, alive: () => void): AsyncGenerator<Block, void, undefined> {
  if (response.body === null) return
  const decoder = new TextDecoder()
  let rest: string[] = []
  let length = 0
  let block: Block = {}
  for await (const chunk of response.body) {
    alive()
    const lines = decoder.decode(chunk, {stream: true}).split('\n')
    for (const [i, part] of lines.entries()) {
      rest.push(part)
      length += part.length
      if (length > longestEvent) throw new SyntaxError('an event is larger than 64 Mi characters')
      if (i === lines.length - 1) break
      const line = rest.join('').replace(/\r$/, '')
      rest = []
      length = 0
      if (line === '') {
        yield block
        block = {}
      } else if (line.startsWith(':')) {
        block.comment = true
      } else if (line.startsWith('id:')) {
        block.id = line.slice(3).trimStart()
      } else if (line.startsWith('data:')) {
        block.data = line.slice(5).trimStart()
      }
    }
  }
}
