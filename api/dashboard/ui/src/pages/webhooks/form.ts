import { Problem } from '../../api/client';
import type { Messages } from '../../i18n/en';
import type { Endpoint } from './words';

/** An endpoint as the form has it: what is typed is text until it is sent. */
export interface Form {
  url: string;
  events: string[];
  sessions: string[];
  format: string;
  order: string;
  timeoutSeconds: string;
  maxInFlight: string;
  ratePerSecond: string;
  retrySeconds: string;
  headers: string;
  chatKinds: string[];
  fromMe: string;
  waitForMedia: boolean;
  secret: string;
}

export function emptyForm(): Form {
  return {
    url: '', events: ['*'], sessions: [], format: 'standard', order: 'none', timeoutSeconds: '15', maxInFlight: '16', ratePerSecond: '', retrySeconds: '', headers: '', chatKinds: [], fromMe: 'both',
    waitForMedia: true, secret: '',
  };
}

export function formOf(e: Endpoint): Form {
  return {
    url: e.url, events: e.events, sessions: e.sessions, format: e.format, order: e.order, timeoutSeconds: String(e.timeoutSeconds), maxInFlight: String(e.maxInFlight),
    ratePerSecond: e.ratePerSecond === undefined ? '' : String(e.ratePerSecond), retrySeconds: e.retrySeconds?.join(', ') ?? '',
    headers: Object.entries(e.headers).map(([name, value]) => `${name}: ${value}`).join('\n'), chatKinds: e.chatKinds, fromMe: e.fromMe === undefined ? 'both' : e.fromMe ? 'own' : 'others',
    waitForMedia: e.waitForMedia, secret: '',
  };
}

function refuse(location: string, message: string): never {
  throw new Problem({ code: 'validation_failed', errors: [{ code: 'invalid', location, message }] }, 422);
}

/** What the API takes; what it could not be told (a header without a colon) is refused here, in the API's form. */
export function bodyOf(f: Form, fresh: boolean, t: Messages['webhooks']): Record<string, unknown> {
  const number = (name: 'timeoutSeconds' | 'maxInFlight' | 'ratePerSecond') => {
    if (!/^\s*\d*\s*$/.test(f[name])) refuse(`body.${name}`, t.notNumbers);
    return f[name].trim() ? Number(f[name]) : undefined;
  };
  const headers: Record<string, string> = {};
  for (const line of f.headers.split('\n').filter((l) => l.trim())) {
    const [, name, value] = /^\s*([^\s:]+)\s*:\s*(.*?)\s*$/.exec(line) ?? refuse('body.headers', t.notHeaders);
    headers[name!] = value!;
  }
  const waits = f.retrySeconds.split(/[\s,;]+/).filter(Boolean);
  if (waits.some((w) => !/^\d+$/.test(w))) refuse('body.retrySeconds', t.notNumbers);
  const none = fresh ? undefined : null; // in a change null takes a setting back, where absent leaves it
  return {
    url: f.url.trim(),
    // The format of the original has one type of event, which is its default.
    events: fresh && f.format === 'legacy' && f.events.includes('*') ? undefined : f.events,
    sessions: f.sessions,
    chatKinds: f.chatKinds,
    fromMe: { both: none, own: true, others: false }[f.fromMe],
    ...(fresh ? { format: f.format, secret: f.secret.trim() || undefined } : {}),
    headers,
    order: f.order,
    timeoutSeconds: number('timeoutSeconds'),
    maxInFlight: number('maxInFlight'),
    ratePerSecond: number('ratePerSecond') ?? none,
    retrySeconds: waits.length > 0 ? waits.map(Number) : none,
    waitForMedia: f.waitForMedia,
  };
}
