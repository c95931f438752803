'use strict';
// The key stays in this page's memory: a reload asks for it again.
const $ = (id) => document.getElementById(id);
let key = '';
const codes = new Map(); // QR pictures by session, with the time at which they end

async function api(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { 'X-API-Key': key, Accept: 'application/json', ...(body && { 'Content-Type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const data = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(data.errors?.[0]?.message ?? data.detail ?? data.title);
  return data;
}

const say = (id, text) => { $(id).textContent = text; };

function element(tag, text, of) {
  const made = document.createElement(tag);
  made.textContent = text;
  of?.append(made);
  return made;
}

async function showSessions() {
  const { data } = await api('GET', '/v1/sessions?limit=200');
  $('no-sessions').hidden = data.length > 0;
  const chosen = $('from').value;
  $('from').replaceChildren(...data.map((s) => new Option(`${s.id} ${s.phone ?? ''}`, s.id, false, s.id === chosen)));
  $('sessions').replaceChildren(...data.map((s) => {
    const item = document.createElement('li');
    item.dataset.session = s.id;
    element('strong', s.id, item);
    element('span', ` ${s.state}`, item).className = 'state';
    if (s.phone) element('span', ` +${s.phone}`, item);
    if (s.reason) element('div', s.reason, item).className = 'reason';
    if (s.state === 'qr') showCode(s.id, item);
    return item;
  }));
}

async function showCode(id, item) {
  const image = document.createElement('img');
  image.alt = `QR code of ${id}: scan it in WhatsApp under Linked devices`;
  let code = codes.get(id);
  if (!code || Date.parse(code.expiresAt) < Date.now()) {
    try {
      code = await api('GET', `/v1/sessions/${encodeURIComponent(id)}/qr`);
    } catch {
      return; // scanned or over: the next event says so
    }
    codes.set(id, code);
  }
  image.src = code.png;
  item.append(image);
}

let refreshing;
function refresh() {
  clearTimeout(refreshing);
  refreshing = setTimeout(() => showSessions().catch((e) => say('status', e.message)), 50);
}

let last = '';
async function follow() {
  try {
    const { ticket } = await api('POST', '/v1/stream-tickets', { for: 'stream' });
    const query = new URLSearchParams({ ticket, ...(last && { after: last }) });
    const source = new EventSource(`/v1/events/stream?${query}`);
    source.onopen = () => { say('status', 'live'); refresh(); };
    source.onerror = () => { source.close(); say('status', 'reconnecting'); setTimeout(follow, 2000); };
    const take = (message) => {
      last = message.lastEventId;
      const event = JSON.parse(message.data);
      if (event.type.startsWith('session.')) { codes.delete(event.sessionId); refresh(); }
      $('no-events').hidden = true;
      const item = element('li', `${event.timestamp.slice(11, 19)} ${event.type} ${event.sessionId ?? ''} ${summary(event)}`);
      item.title = message.data;
      $('events').prepend(item);
      while ($('events').children.length > 100) $('events').lastChild.remove();
    };
    for (const type of types) source.addEventListener(type, take);
  } catch (e) {
    say('status', e.message);
    setTimeout(follow, 5000);
  }
}

function summary({ data }) {
  const m = data.message;
  if (m) return `${m.from.phone ?? m.from.id} → ${m.to.phone ?? m.to.id}: ${m.content.text ?? `[${m.content.type}] ${m.content.caption ?? ''}`}`;
  if (data.session) return data.session.state;
  return data.status ?? data.error?.code ?? '';
}

$('sign-in').onsubmit = async (e) => {
  e.preventDefault();
  key = $('key').value.trim();
  try {
    await showSessions();
  } catch (error) {
    say('status', error.message);
    return;
  }
  $('sign-in').hidden = true;
  document.querySelector('main').hidden = false;
  follow();
};

$('create').onsubmit = async (e) => {
  e.preventDefault();
  try {
    await api('POST', '/v1/sessions', { id: $('new-id').value });
    $('create').reset();
    refresh();
  } catch (error) {
    say('status', error.message);
  }
};

$('send').onsubmit = async (e) => {
  e.preventDefault();
  say('sent', 'sending…');
  try {
    const m = await api('POST', `/v1/sessions/${encodeURIComponent($('from').value)}/messages`,
      { to: $('to').value, content: { type: 'text', text: $('text').value } });
    say('sent', `${m.status} as ${m.id}; the events below tell the rest`);
  } catch (error) {
    say('sent', error.message);
  }
};
