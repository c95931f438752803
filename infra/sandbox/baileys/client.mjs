// One Baileys client, driven by JSON lines: {"id":1,"do":"text",...} on standard input is answered by {"id":1,"result":...} or
// {"id":1,"error":"..."} on standard output, where {"event":"...",...} tells what happened. It ends when its standard input does.
import { createInterface } from 'node:readline'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { ProxyAgent } from 'undici'
import makeWASocket, { DisconnectReason, WA_CERT_DETAILS, downloadMediaMessage, getContentType, useMultiFileAuthState } from 'baileys'
import { pino } from 'pino'

// The three things that point Baileys at a sandbox: its address, the root of its certificates, and the proxy for media, whose
// certificate NODE_EXTRA_CA_CERTS makes known.
const { url, root, proxy, auth } = JSON.parse(process.argv[2])
WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(root, 'hex')
const pointed = { waWebSocketUrl: url, fetchAgent: new HttpsProxyAgent(proxy), options: { dispatcher: new ProxyAgent(proxy) } }

console.log = console.info = console.error // libsignal prints; standard output is for the answers
const logger = pino({ level: process.env.BAILEYS_LOG ?? 'warn' }, pino.destination(2))
const say = value => process.stdout.write(JSON.stringify(value) + '\n')
const seen = new Map() // messages by id
const { state, saveCreds } = await useMultiFileAuthState(auth)
let sock

function connect() {
  sock = makeWASocket({
    ...pointed, logger, auth: state,
    getMessage: async key => seen.get(key.id)?.message,
  })
  sock.ev.on('creds.update', saveCreds)
  sock.ev.on('connection.update', update => {
    if (update.qr) say({ event: 'qr', qr: update.qr })
    if (update.connection === 'open') say({ event: 'open', me: sock.user })
    if (update.receivedPendingNotifications) say({ event: 'settled' })
    if (update.connection === 'close') {
      const code = update.lastDisconnect?.error?.output?.statusCode
      say({ event: 'close', code })
      if (code !== DisconnectReason.loggedOut) setTimeout(connect, 100)
    }
  })
  sock.ev.on('messages.upsert', ({ type, messages }) => {
    for (const m of messages) {
      seen.set(m.key.id, m)
      const kind = getContentType(m.message ?? undefined)
      say({
        event: 'message', upsert: type, messageId: m.key.id, chat: m.key.remoteJid, sender: m.key.participant, fromMe: m.key.fromMe, kind,
        status: m.status, text: m.message?.conversation ?? m.message?.extendedTextMessage?.text, caption: m.message?.[kind]?.caption, name: m.pushName,
      })
    }
  })
  // Baileys ticks a message by its status: 2 sent, 3 delivered, 4 read. It takes a "sender" receipt, by which one's own other device has the
  // message, for sent even after it was delivered, and of what comes within 0.1 s it tells the last; so the receipts are told as they come.
  sock.ev.on('messages.update', updates => {
    for (const { key, update } of updates) if (update.status) say({ event: 'status', messageId: key.id, status: update.status })
  })
  sock.ws.on('CB:receipt', ({ attrs }) =>
    say({ event: 'receipt', messageId: attrs.id, type: attrs.type ?? 'delivered', chat: attrs.from, sender: attrs.participant }))
  sock.ev.on('groups.upsert', groups => groups.forEach(g => say({ event: 'group', chat: g.id, subject: g.subject })))
  sock.ev.on('group-participants.update', u => say({ event: 'participants', chat: u.id, action: u.action, users: u.participants.map(p => p.id ?? p) }))
}

const sent = m => { seen.set(m.key.id, m); return { messageId: m.key.id, chat: m.key.remoteJid } }

const operations = {
  connect: async () => connect(),
  code: async ({ number }) => sock.requestPairingCode(number),
  text: async ({ to, text }) => sent(await sock.sendMessage(to, { text })),
  image: async ({ to, data, caption }) =>
    sent(await sock.sendMessage(to, { image: Buffer.from(data, 'base64'), mimetype: 'image/jpeg', caption, jpegThumbnail: '', width: 4, height: 3 })),
  download: async ({ messageId }) =>
    (await downloadMediaMessage(seen.get(messageId), 'buffer', { options: pointed.options }, { logger, reuploadRequest: sock.updateMediaMessage })).toString('base64'),
  read: async ({ messageId }) => sock.readMessages([seen.get(messageId).key]),
  call: async ({ method, arguments: values }) => sock[method](...values ?? []), // whatever else Baileys can do
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, ...args } = JSON.parse(line)
  operations[name](args).then(result => say({ id, result: result ?? null }), error => say({ id, error: String(error?.stack ?? error) }))
}
process.exit(0)
