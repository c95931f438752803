// A bot made with Baileys 7 that answers each "ping" with "pong", pointed at a sandbox by two lines.
import makeWASocket, { DisconnectReason, WA_CERT_DETAILS, useMultiFileAuthState } from 'baileys'

const { SANDBOX, WHATSAPP_URL, WHATSAPP_ROOT_KEY, NUMBER } = process.env // http://127.0.0.1:3001, ws://127.0.0.1:3001/ws/chat, 64 hex digits
WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(WHATSAPP_ROOT_KEY, 'hex')
const { state, saveCreds } = await useMultiFileAuthState(process.env.AUTH ?? 'auth')

function connect() {
  // Media need the proxy too: see README.md.
  const sock = makeWASocket({ auth: state, waWebSocketUrl: WHATSAPP_URL })
  sock.ev.on('creds.update', saveCreds)
  sock.ev.on('connection.update', async ({ qr, connection, lastDisconnect }) => {
    if (qr) { // a phone of the sandbox scans it
      const headers = { 'Content-Type': 'application/json' }
      await fetch(`${SANDBOX}/phones/${NUMBER}/scan`, { method: 'POST', headers, body: JSON.stringify({ qr }) })
    }
    if (connection === 'close' && lastDisconnect?.error?.output?.statusCode !== DisconnectReason.loggedOut) connect()
  })
  sock.ev.on('messages.upsert', async ({ messages }) => {
    for (const m of messages) {
      if (m.key.fromMe || m.message?.conversation !== 'ping') continue
      await sock.sendMessage(m.key.remoteJid, { text: 'pong' }).catch(error => console.error('not answered:', error))
    }
  })
}
connect()
