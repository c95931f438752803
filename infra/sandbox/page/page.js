// The phone page: it does nothing that the control API does not, and remembers nothing.
const $ = id => document.getElementById(id)

// h makes an element; texts are texts, never markup.
function h(tag, attrs = {}, ...children) {
  const e = document.createElement(tag)
  for (const [name, value] of Object.entries(attrs)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value)
    else if (name.startsWith('aria-')) e.setAttribute(name, value)
    else if (value === true) e.setAttribute(name, '')
    else if (value !== undefined && value !== false && value !== null) e.setAttribute(name, value)
  }
  e.append(...children.flat().filter(c => c !== undefined && c !== null && c !== false && c !== ''))
  return e
}

// fill shows rows, [key, state, make], in a list. A row whose state is the same stays where it is, with its focus and its players.
function fill(box, rows) {
  const kept = new Map([...box.children].map(e => [e.key, e]))
  const next = rows.map(([key, state, make]) => {
    const text = JSON.stringify(state), old = kept.get(key)
    return old?.state === text ? old : Object.assign(make(), { key, state: text })
  })
  const stays = new Set(next)
  for (const e of [...box.children]) if (!stays.has(e)) e.remove()
  next.forEach((e, i) => { if (box.children[i] !== e) box.insertBefore(e, box.children[i] || null) })
}

function say(text, bad = false) {
  $('notice').textContent = text
  $('notice').classList.toggle('bad', bad)
}

async function call(method, path, body, signal) {
  const res = await fetch(path, { method, signal, headers: body ? { 'Content-Type': 'application/json' } : {}, body: body && JSON.stringify(body) })
  const text = await res.text()
  const json = text && res.headers.get('Content-Type')?.includes('json') && !res.headers.get('Content-Type').includes('jsonl') ? JSON.parse(text) : text
  if (!res.ok) throw Object.assign(new Error(json?.detail || `${res.status} ${res.statusText}`), { status: res.status })
  return json
}

// act does what the user asked for and tells how it went.
async function act(done, method, path, body) {
  try {
    const answer = await call(method, path, body)
    say(done)
    return answer ?? true
  } catch (e) {
    say(e.message, true)
  }
}

const pause = (ms, signal) => new Promise(done => {
  const timer = setTimeout(done, ms)
  signal?.addEventListener('abort', () => { clearTimeout(timer); done() })
})

// follow reads a list that grows by long polls, until the signal; a list that cannot be read is tried again each two seconds.
async function follow(path, take, signal) {
  let after = 0
  while (!signal.aborted) {
    try {
      const page = await call('GET', `${path}${path.includes('?') ? '&' : '?'}after=${after}&wait=25`, undefined, signal)
      after = page.next
      take(page)
    } catch (e) {
      if (!signal.aborted) await pause(2000, signal)
    }
  }
}

let phones = []     // as GET /phones lists them
let current = null  // the number that is looked at
let chat = null     // the chat that is open
let quote = null    // the message that is answered
let looking = new AbortController()
let items = new Map() // what the phone saw and sent, by "seq" or "id"
let unread = new Map()

const base = () => `/phones/${current}`
const named = who => phones.find(p => p.number === who)?.name || who

async function listPhones() {
  let after = '', list = []
  for (let page = 0; page < 3; page++) {
    const got = (await call('GET', `/phones?after=${after}`)).phones
    list = list.concat(got)
    if (got.length < 1000) break
    after = got.at(-1).number
  }
  phones = list
  const wanted = $('filter').value.toLowerCase()
  const shown = phones.filter(p => !wanted || p.number.includes(wanted) || p.name.toLowerCase().includes(wanted)).slice(0, 200)
  fill($('phones'), shown.map(p => [p.number, [p, p.number === current], () => h('li', {}, h('button', { type: 'button', 'aria-current': p.number === current, 'data-phone': p.number, onclick: () => open(p.number) },
    p.name, h('span', { class: p.connected ? 'dot on' : 'dot', title: p.connected ? 'connected' : p.level }),
    h('small', {}, `${p.number} · ${p.level}${p.autoReply ? ' · ' + p.autoReply : ''}${p.devices.length ? ` · ${p.devices.length} linked` : ''}`)))]))
  const me = phones.find(p => p.number === current)
  fill($('devices'), (me?.devices.length ? me.devices : ['None.']).map(d => [d, d, () => h('li', {}, d)]))
}

function open(number) {
  if (current === number) { document.body.dataset.view = 'chats'; return }
  looking.abort()
  looking = new AbortController()
  current = number
  chat = null
  items = new Map()
  unread = new Map()
  $('event-list').replaceChildren()
  document.body.dataset.view = 'chats'
  render()
  void listPhones()
  void showFaults()
  const me = phones.find(p => p.number === number)
  if (me && me.level !== 'live') { say(`${me.name} is a ${me.level}: it can only be written to`); return }
  follow(`${base()}/messages`, page => {
    for (const m of page.messages) {
      items.set('seen' + m.seq, { ...m, key: 'seen' + m.seq, mine: m.fromMe, file: m.sha256 ? `/phones/${number}/messages/${m.seq}/media` : null })
      if (!m.fromMe && m.chat !== chat) unread.set(m.chat, (unread.get(m.chat) || 0) + 1)
    }
    render()
  }, looking.signal)
  follow(`${base()}/sent`, page => {
    for (const m of page.messages) {
      items.set('sent' + m.id, { ...m, key: 'sent' + m.id, mine: true, chat: m.to, from: number, file: m.sha256 ? `/phones/${number}/sent/${encodeURIComponent(m.id)}/media` : null })
    }
    render()
  }, looking.signal)
  follow(`${base()}/events`, page => {
    for (const e of page.events) {
      $('event-list').prepend(h('li', {}, h('b', {}, e.kind), ' ', h('time', {}, new Date(e.time).toLocaleTimeString()), ' ', JSON.stringify(e.data)))
      const who = e.kind === 'chatState' && (e.data.chat || e.data.from)
      if (who) { $('chat-title').dataset.state = e.data.state; title(e.data) }
    }
    while ($('event-list').children.length > 200) $('event-list').lastChild.remove()
  }, looking.signal)
}

// all are the items in the order of time; what is done to another message is kept with that one.
function all() {
  const second = m => m.timestamp ? Math.floor(Date.parse(m.timestamp) / 1000) : Infinity // WhatsApp's times are seconds; within one, as they came
  const list = [...items.values()].sort((a, b) => second(a) === second(b) ? 0 : second(a) - second(b))
  const byID = new Map(list.filter(m => !m.target).map(m => [m.id, { ...m, reactions: new Map() }]))
  const shown = []
  for (const m of list) {
    const target = m.target && byID.get(m.target.id)
    if (!target) { shown.push(byID.get(m.id) || m); continue }
    if (m.type === 'reaction') { m.emoji ? target.reactions.set(m.from, m.emoji) : target.reactions.delete(m.from); continue }
    if (m.type === 'edit') { target.text = m.text; target.edited = true; if (target.caption) target.caption = m.text; continue }
    if (m.type === 'revoke') { target.revoked = true; continue }
    shown.push(m)
  }
  return shown
}

function summary(m) {
  return m.revoked ? 'deleted' : m.text || m.caption || m.poll?.question || m.event?.name || m.location?.name || m.fileName || m.contacts?.map(c => c.name).join(', ') || m.emoji || m.type
}

const ticks = { pending: '…', sent: '✓', delivered: '✓✓', read: '✓✓', played: '✓✓' }

function body(m) {
  if (m.revoked) return h('p', {}, h('em', {}, 'This message was deleted.'))
  const parts = []
  if (m.quote) parts.push(h('blockquote', {}, h('div', { class: 'who' }, named(m.quote.from || '')), m.quote.text || m.quote.type || m.quote.id))
  if (m.mediaError) parts.push(h('p', {}, `⚠ ${m.type}: ${m.mediaError}`))
  else if (m.file && (m.type === 'image' || m.type === 'sticker')) parts.push(h('img', { src: m.file, alt: m.caption || m.type, loading: 'lazy' }))
  else if (m.file && m.type === 'video') parts.push(h('video', { src: m.file, controls: true, preload: 'metadata' }))
  else if (m.file && (m.type === 'audio' || m.type === 'voice')) parts.push(h('audio', { src: m.file, controls: true, preload: 'metadata' }))
  else if (m.file) parts.push(h('a', { href: m.file, download: m.fileName || 'file' }, `📄 ${m.fileName || m.type} (${m.size} bytes)`))
  if (m.poll) parts.push(h('p', {}, h('b', {}, m.poll.question)), h('ul', {}, (m.poll.options || []).map(o => h('li', {}, '○ ' + (o.name || o)))))
  if (m.location || m.liveLocation) {
    const at = m.location || m.liveLocation
    parts.push(h('p', {}, `📍 ${at.name || ''} ${at.latitude}, ${at.longitude}`))
  }
  if (m.contacts) parts.push(...m.contacts.map(c => h('p', {}, `👤 ${c.name}`)))
  if (m.event) parts.push(h('p', {}, `📅 ${m.event.name} ${m.event.startAt ? new Date(m.event.startAt).toLocaleString() : ''}`))
  if (m.selected) parts.push(h('p', {}, `voted: ${m.selected.join(', ') || 'nothing'}`))
  if (m.response) parts.push(h('p', {}, `answers: ${m.response}`))
  const text = m.caption || m.text
  if (text) parts.push(h('p', {}, text))
  if (m.preview?.url) parts.push(h('p', {}, h('small', {}, `${m.preview.title || ''} ${m.preview.url}`)))
  if (m.contentError) parts.push(h('p', {}, `⚠ ${m.contentError}`))
  if (!parts.length) parts.push(h('p', {}, h('em', {}, m.type + (m.emoji ? ' ' + m.emoji : ''))))
  if (m.viewOnce) parts.push(h('small', {}, 'once'))
  return parts
}

function bubble(m) {
  const reactions = [...(m.reactions?.values() || [])].join(' ')
  const speaks = !m.target && !m.revoked
  return h('li', { class: `bubble${m.mine ? ' mine' : ''}${m.target ? ' plain' : ''}${reactions ? ' reacted' : ''}`, 'data-id': m.id, 'data-status': m.status },
    !m.mine && m.chat.includes('@') ? h('div', { class: 'who' }, named(m.from)) : '',
    body(m),
    h('footer', {},
      speaks && h('span', { class: 'actions' },
        ...['👍', '❤️', '😂'].map(emoji => h('button', { type: 'button', title: 'React', onclick: () => send({ type: 'reaction', target: { id: m.id }, emoji }) }, emoji)),
        h('button', { type: 'button', title: 'Reply', onclick: () => { quote = m; render(); $('text').focus() } }, '↩')),
      m.edited && 'edited', m.mine && !m.status ? 'linked device' : '',
      h('time', {}, m.timestamp ? new Date(m.timestamp).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : ''),
      m.status && h('span', { class: `ticks ${m.status}`, title: m.status + (m.chat.includes('@') ? `, ${m.delivered} delivered, ${m.read} read` : ''), 'aria-label': m.status }, ticks[m.status])),
    reactions && h('span', { class: 'reactions' }, reactions))
}

let groups = new Map()
const chatName = id => id === 'status@broadcast' ? 'Statuses' : groups.get(id) || named(id)

function title(state) {
  const doing = state && (state.from === chat || state.chat === chat) && state.state !== 'paused' ? ` — ${state.state}…` : ''
  $('chat-title').textContent = chat ? chatName(chat) + doing : current ? 'Pick a chat' : 'Pick a phone, then a chat'
}

let due = false
function render() { // once a frame, however much has come
  if (!due) { due = true; requestAnimationFrame(() => { due = false; draw() }) }
}

function draw() {
  const list = all()
  const chats = new Map()
  for (const m of list) chats.set(m.chat, m)
  if (chat && !chats.has(chat)) chats.set(chat, { text: '' })
  $('no-chats').hidden = chats.size > 0
  for (const id of chats.keys()) if (id.endsWith('@g.us') && !groups.has(id)) void learn(id)
  fill($('chats'), [...chats].reverse().map(([id, m]) => [id, [id === chat, chatName(id), unread.get(id), summary(m)],
    () => h('li', {}, h('button', { type: 'button', 'aria-current': id === chat, 'data-chat': id, onclick: () => show(id) },
      chatName(id), unread.get(id) ? h('span', { class: 'badge' }, unread.get(id)) : h('span'), h('small', {}, summary(m))))]))
  title()
  $('compose').hidden = !chat
  $('quoting').hidden = !quote
  if (quote) $('quoting').replaceChildren(`Answering “${summary(quote)}” `, h('button', { type: 'button', onclick: () => { quote = null; render() } }, 'Cancel'))
  const box = $('conversation'), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80
  const shown = list.filter(m => m.chat === chat).slice(-300)
  fill(box, shown.map(m => [m.key, [m, [...(m.reactions || [])]], () => bubble(m)]))
  if (atEnd) box.scrollTop = box.scrollHeight
}

async function learn(group) {
  groups.set(group, group)
  try {
    groups.set(group, (await call('GET', `${base()}/groups/${group}`)).subject)
    render()
  } catch { /* the phone is not in it any more */ }
}

function show(id) {
  chat = id
  quote = null
  document.body.dataset.view = 'chat'
  const senders = new Set([...items.values()].filter(m => m.chat === id && !m.mine).map(m => m.from))
  if (unread.get(id)) for (const from of senders) void call('POST', `${base()}/read`, { from }).catch(e => say(e.message, true))
  unread.delete(id)
  render()
  requestAnimationFrame(() => { $('conversation').scrollTop = 1e9 })
}

async function send(message) {
  const to = chat
  if (quote && !message.target) message.quote = { id: quote.id }
  quote = null
  return act('', 'POST', `${base()}/messages`, { to, ...message })
}

async function sendFile(file) {
  if (!file || !chat) return
  const data = await new Promise((done, failed) => {
    const reader = new FileReader()
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(',') + 1))
    reader.onerror = failed
    reader.readAsDataURL(file)
  })
  const kind = ['image', 'video', 'audio'].find(k => file.type.startsWith(k + '/')) || 'document'
  const type = file.type === 'image/webp' ? 'sticker' : kind === 'image' && !/jpeg|png/.test(file.type) ? 'document' : kind
  say(`Sending ${file.name}…`)
  await send({ type, mimetype: file.type || undefined, fileName: type === 'document' ? file.name : undefined, data })
}

$('compose').addEventListener('submit', async e => {
  e.preventDefault()
  const text = $('text').value.trim()
  if (!text) return
  $('text').value = ''
  await send({ type: 'text', text })
})
$('text').addEventListener('keydown', e => {
  if (e.key === 'Enter' && !e.shiftKey) { e.preventDefault(); $('compose').requestSubmit() }
})
$('file').addEventListener('change', async e => { await sendFile(e.target.files[0]); e.target.value = '' })
const room = document.querySelector('main')
for (const kind of ['dragover', 'dragleave', 'drop']) {
  room.addEventListener(kind, e => {
    e.preventDefault()
    room.classList.toggle('dropping', kind === 'dragover')
    if (kind === 'drop') void sendFile(e.dataTransfer.files[0])
  })
}
$('back').addEventListener('click', () => { document.body.dataset.view = document.body.dataset.view === 'chat' ? 'chats' : 'phones' })
$('filter').addEventListener('input', listPhones)
$('new-phone').addEventListener('submit', async e => {
  e.preventDefault()
  const f = e.target
  const made = await act('Phone added', 'POST', '/phones', { number: f.number.value, name: f.name.value, level: f.level.value, autoReply: f.echo.checked ? 'echo' : '' })
  if (made) { f.reset(); await listPhones(); open(made.number) }
})
$('new-chat').addEventListener('submit', e => { e.preventDefault(); if (current) { show(e.target.to.value.trim()); e.target.reset() } })

// Devices
$('scan').addEventListener('submit', async e => {
  e.preventDefault()
  const linked = await act('Device linked', 'POST', `${base()}/scan`, { qr: e.target.qr.value.trim() })
  if (linked) { e.target.reset(); void listPhones() }
})
$('code').addEventListener('submit', async e => {
  e.preventDefault()
  const linked = await act('Device linked', 'POST', `${base()}/code`, { code: e.target.code.value.trim() })
  if (linked) { e.target.reset(); void listPhones() }
})
$('unlink').addEventListener('click', async () => { await act('All devices unlinked', 'DELETE', `${base()}/devices`); void listPhones() })

async function listWaiting() {
  const { waiting } = await call('GET', '/waiting')
  if (!waiting?.length) return fill($('waiting'), [['', '', () => h('li', { class: 'hint' }, 'Nobody.')]])
  fill($('waiting'), waiting.map(w => [w.id, w, () => h('li', {}, `${w.os || w.browser || w.platform || 'A client'} · ${w.remainingSeconds} s left · `,
    w.linkBy === 'code' ? `asks ${w.phone} for a code` : 'shows a QR code: paste its text above')]))
}

// Tools
for (const tab of document.querySelectorAll('[role=tab]')) {
  tab.addEventListener('click', () => {
    for (const other of document.querySelectorAll('[role=tab]')) {
      other.setAttribute('aria-selected', other === tab)
      $(other.getAttribute('aria-controls')).hidden = other !== tab
    }
    if (tab.id === 'tab-faults') void showFaults()
    if (tab.id === 'tab-traffic') void watchTraffic()
  })
}

// Faults
const switches = {
  ackDelayMs: 'number', queryDelayMs: 'number', dropAcks: 'flag', silence: 'flag', refuseConnections: 'flag', pushAll: 'flag', noPreKeys: 'flag',
  drop: 'rate', duplicate: 'rate', reorder: 'rate', corrupt: 'rate', cutBefore: 'rate', cutAfter: 'rate',
}
let faults = {}
const faultPath = () => $('scope').value === 'one' && current ? `${base()}/faults` : '/faults'

async function showFaults() {
  try {
    faults = await call('GET', faultPath())
  } catch (e) {
    faults = {}
    if (e.status !== 404) say(e.message, true)
  }
  drawFaults()
}

function drawFaults() {
  const on = Object.fromEntries(Object.entries(faults).filter(([, v]) => v))
  $('in-force').textContent = Object.keys(on).length ? 'On: ' + Object.keys(on).join(', ') : 'No fault is on.'
  $('fault-form').json.value = JSON.stringify(on, null, 1)
  $('switches').replaceChildren(...Object.entries(switches).map(([name, kind]) => h('label', {},
    kind === 'number'
      ? h('input', { type: 'number', min: 0, max: 60000, step: 50, value: faults[name] || 0, onchange: e => setFault(name, +e.target.value) })
      : h('input', { type: 'checkbox', checked: !!faults[name], 'data-fault': name, onchange: e => setFault(name, !e.target.checked ? undefined : kind === 'rate' ? {} : true) }),
    name)))
}

async function putFaults(next) {
  const path = faultPath()
  if (path !== '/faults') delete next.refuseConnections
  const put = await act('Faults are in force', 'PUT', path, next)
  if (put) { faults = put; drawFaults() } else void showFaults()
}

const setFault = (name, value) => putFaults({ ...Object.fromEntries(Object.entries(faults).filter(([, v]) => v)), [name]: value })
$('scope').addEventListener('change', showFaults)
$('fault-form').addEventListener('submit', e => {
  e.preventDefault()
  try { void putFaults(JSON.parse(e.target.json.value || '{}')) } catch (wrong) { say(`Not JSON: ${wrong.message}`, true) }
})
$('fault-end').addEventListener('click', () => putFaults({}))
const one = () => $('scope').value === 'one' && current ? base() : ''
$('cut').addEventListener('click', () => act('Connections cut', 'POST', one() ? `${one()}/disconnect` : '/faults/disconnect'))
for (const b of document.querySelectorAll('[data-stream]')) b.addEventListener('click', () => act('Connections ended', 'POST', `${one()}/faults/stream`, { kind: b.dataset.stream }))
$('login-fault').addEventListener('submit', e => {
  e.preventDefault()
  const reason = +e.target.reason.value
  void act(reason ? 'Logins are refused' : 'Logins are taken', 'PUT', `${one()}/faults/login`, reason === 402 ? { reason, code: 101, expireSeconds: 3600 } : { reason })
})

// Traffic
let watching = false
async function watchTraffic() {
  if (watching) return
  watching = true
  let after = 0
  while (!$('traffic').hidden) {
    try {
      const lines = (await call('GET', `/transcript?after=${after}&wait=10`)).trim().split('\n').filter(Boolean).map(line => JSON.parse(line))
      for (const e of lines) {
        after = e.seq
        const { tag, attrs = {}, children = [] } = e.stanza
        $('stanzas').prepend(h('li', {}, h('b', { class: e.direction }, e.direction === 'in' ? '→ ' : '← ', tag), ' ', h('small', {}, e.device || 'not linked'), ' ',
          Object.entries(attrs).map(([k, v]) => `${k}=${v}`).join(' '), children.length ? ` [${children.map(c => c.tag).join(' ')}]` : ''))
      }
      while ($('stanzas').children.length > 300) $('stanzas').lastChild.remove()
    } catch (e) {
      $('traffic-hint').textContent = e.message
      await pause(3000)
    }
  }
  watching = false
}

// What no long poll tells of is looked at every two seconds.
async function beat() {
  try {
    await listPhones()
    if (!$('device').hidden) await listWaiting()
    const s = await call('GET', '/stats')
    $('stats').textContent = `${s.connections} connections · ${s.messagesSent} messages · ${s.unknownStanzas} unknown stanzas`
    if ($('notice').dataset.lost) { say(''); delete $('notice').dataset.lost }
  } catch (e) {
    say('The sandbox does not answer.', true)
    $('notice').dataset.lost = 'yes'
  }
  setTimeout(beat, 2000)
}
await beat()
