// Does with the SDK what its README shows, against a running `chasqui dev`, and fails where anything is not as it should be.
import assert from 'node:assert/strict'
import {createServer, type IncomingHttpHeaders} from 'node:http'
import type {AddressInfo} from 'node:net'
import {all, Chasqui, ChasquiError, isQueued, isThin, text, verifyWebhook, wait, WebhookError} from 'chasqui'

const env = (name: string): string => {
  const value = process.env[name]
  assert(value, `${name} is not given`)
  return value
}

// The phones are those of the sandbox; peer answers every text with the same text.
const [sessionId, phone, peer] = [env('SESSION'), env('PHONE'), env('PEER')]
const chasqui = new Chasqui({url: env('CHASQUI_URL'), apiKey: env('CHASQUI_API_KEY')})
setTimeout(() => assert.fail('not done after two minutes'), 120_000).unref()

await link()
await sendAndReceive()
await problems()
await pages()
await media()
await webhook()
await faults()

/** Makes a session, and has the simulated phone scan its QR code. */
async function link() {
  await chasqui.createSession({body: {id: sessionId}})
  const {qr} = await chasqui.getSessionQr({path: {sessionId}, query: {wait: 30}})
  const scan = await fetch(`${env('SANDBOX_URL')}/phones/${phone}/scan`, {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({qr}),
  })
  assert.equal(scan.status, 200)
  for (let after = ''; ; ) { // the log has had every event since the session was made
    const page = await chasqui.listEvents({query: {sessionId: [sessionId], after, wait: 10}})
    if (page.data.some(e => e.type === 'session.status' && e.data.session.state === 'connected')) return
    after = page.nextCursor
  }
}

async function sendAndReceive() {
  const sent = await chasqui.sendMessage({path: {sessionId}, body: {to: peer, content: text('hello from TypeScript')}, headers: wait(20)})
  assert(!['queued', 'failed'].includes(sent.status), sent.status)
  // The stream begins with the newest event before the message, so that the answer is surely after it.
  let after = ''
  for await (const event of all(({cursor = ''}) => chasqui.listEvents({query: {sessionId: [sessionId], after: cursor}}))) {
    if (event.type === 'session.status') after = event.id
  }
  for await (const event of chasqui.events({after, sessionId: [sessionId], type: ['message.received']})) {
    assert(event.type === 'message.received')
    const {content, from} = event.data.message
    if (content.text === 'hello from TypeScript' && from.phone) return
  }
  assert.fail('the stream ended')
}

async function problems() {
  await assert.rejects(chasqui.getSession({path: {sessionId: 'nobody'}}), (error: unknown) => {
    assert(error instanceof ChasquiError)
    assert.equal(error.code, 'session_not_found')
    assert.equal(error.status, 404)
    assert(error.detail && error.requestId)
    return true
  })
  await assert.rejects(chasqui.sendMessage({path: {sessionId}, body: {to: 'nonsense', content: text('')}}), (error: unknown) => {
    assert(error instanceof ChasquiError)
    assert.equal(error.code, 'validation_failed')
    assert(error.errors[0]?.location)
    return true
  })
}

async function pages() {
  const seen = new Set<string>()
  for await (const message of all(query => chasqui.listMessages({path: {sessionId}, query: {...query, limit: 1}}))) {
    assert(!seen.has(message.id), 'a message came twice')
    seen.add(message.id)
  }
  assert(seen.size >= 2, `${seen.size} messages, want the one sent and its answer`)
}

async function media() {
  const note = new Uint8Array([97, 0, 255, 13, 10, 45, 45])
  const file = new File([note], 'a note ñ.txt', {type: 'text/plain'})
  const {id: mediaId, fileName, mimetype} = await chasqui.uploadMedia({body: {file}})
  assert.deepEqual([fileName, mimetype], ['a note ñ.txt', 'text/plain'])
  const content = await chasqui.getMediaContent({path: {mediaId}, parseAs: 'blob'})
  assert.deepEqual(new Uint8Array(await content.arrayBuffer()), note)
  await chasqui.deleteMedia({path: {mediaId}})
}

/** Has chasqui send a signed test event here. */
async function webhook() {
  const server = createServer()
  const hook = new Promise<{headers: IncomingHttpHeaders; body: Buffer}>((resolve, reject) => {
    server.on('request', (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject).on('end', () => {
        response.end()
        resolve({headers: request.headers, body: Buffer.concat(chunks)})
      })
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  const {id: endpointId, secret} = await chasqui.createWebhookEndpoint({body: {url, sessions: [sessionId], events: ['webhook.test']}})
  try {
    await chasqui.testWebhookEndpoint({path: {endpointId}, headers: wait(20)})
    const {headers, body} = await hook
    const event = await verifyWebhook(headers, body, ['whsec_bm90IHRoaXMgb25l', secret])
    assert(!isThin(event) && event.type === 'webhook.test' && event.id === headers['webhook-id'])
    assert.equal((await chasqui.whole(event)).id, event.id)
    await assert.rejects(verifyWebhook(headers, `${body.toString()} `, secret), WebhookError)
    await assert.rejects(verifyWebhook(headers, body, secret, new Date(Date.now() + 301_000)), WebhookError)
  } finally {
    await chasqui.deleteWebhookEndpoint({path: {endpointId}})
    server.close()
  }
}

/** Meets a server that fails as servers and networks do; who runs this looks at what the server saw. */
async function faults() {
  const chasqui = new Chasqui({url: env('FAULTS_URL'), apiKey: 'secret'})
  const problem = (want: {code: string; status: number; retryAfter?: number}) => (error: unknown) => {
    assert(error instanceof ChasquiError)
    assert.deepEqual({code: error.code, status: error.status, retryAfter: error.retryAfter}, {retryAfter: undefined, ...want})
    return true
  }
  const sent = await chasqui.sendMessage({path: {sessionId: 's'}, body: {to: '1', content: text('x')}})
  assert.equal(sent.id, 'msg_1')
  await assert.rejects(chasqui.listSessions(), problem({code: 'rate_limited', status: 429, retryAfter: 3600}))
  await assert.rejects(chasqui.getSession({path: {sessionId: 'proxy'}}), problem({code: '', status: 403}))
  await assert.rejects(chasqui.getSession({path: {sessionId: 'elsewhere'}}))
  const change = await chasqui.changeChat({path: {sessionId: 's', chatId: '1'}, body: {archived: true}})
  assert(isQueued(change) && change.status === 'queued')
  const ids: string[] = []
  await assert.rejects(async () => {
    for await (const event of chasqui.events()) ids.push(event.id)
  }, problem({code: 'cursor_expired', status: 410}))
  assert.deepEqual(ids, ['evt_1', 'evt_3'])
}
