/** What a receiver got, and the secret that it should verify with. */
export interface Received {
  body: string;
  id: string;
  timestamp: string;
  signature: string;
  secret: string;
}

export type Verdict =
  | 'valid' | 'validOld' | 'validFuture' | 'secretForm' | 'secretSize' | 'noId' | 'noTimestamp' | 'timestampForm' | 'timestampMs' | 'noSignature' | 'signatureForm' | 'whitespace' | 'reformatted'
  | 'encodedSecret' | 'idChanged' | 'differs';

export interface Verified {
  verdict: Verdict;
  /** What the signature should be; absent where the secret or a header has no form to compute it of. */
  expected?: string;
  /** Those that came, and whether each fits. */
  signatures: { text: string; fits: boolean }[];
  signedAt?: number;
}

// Standard Webhooks: receivers refuse what is older or younger, so that what was overheard cannot be sent again.
const tolerance = 5 * 60_000;
const [minSecret, maxSecret] = [24, 64];

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

async function sign(key: Uint8Array<ArrayBuffer>, id: string, timestamp: string, body: string): Promise<string> {
  const hmac = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const mac = await crypto.subtle.sign('HMAC', hmac, new TextEncoder().encode(`${id}.${timestamp}.${body}`));
  return `v1,${btoa(String.fromCharCode(...new Uint8Array(mac)))}`;
}

/** Other forms that a body may have had before something on the way changed its white space, and those that a parser may have made of. */
function* formerBodies(body: string): Generator<[Verdict, string]> {
  for (const b of [body.trim(), `${body}\n`, body.replaceAll('\r\n', '\n'), body.replaceAll('\r\n', '\n').trim(), body.replace(/\r?\n/g, '\r\n')]) yield ['whitespace', b];
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return;
  }
  const compact = JSON.stringify(value);
  // Go writes these three as escapes, which keep JSON harmless inside HTML; other writers do not.
  const escaped = (text: string) => text.replaceAll('<', '\\u003c').replaceAll('>', '\\u003e').replaceAll('&', '\\u0026').replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
  const stripped = body.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
  yield ['whitespace', stripped];
  for (const b of [compact, escaped(compact), escaped(stripped)]) yield ['reformatted', b];
}

/** Verifies as Standard Webhooks 1.0 has it; where it fails, names the part that differs, as far as that can be told without the original. */
export async function verify(r: Received, now: number): Promise<Verified> {
  const id = r.id.trim();
  const timestamp = r.timestamp.trim();
  const secret = r.secret.trim();
  const texts = r.signature.trim().split(/\s+/).filter(Boolean);
  const out: Verified = { verdict: 'differs', signatures: texts.map((text) => ({ text, fits: false })) };
  const as = (verdict: Verdict) => ({ ...out, verdict });

  const key = secret.startsWith('whsec_') ? fromBase64(secret.slice('whsec_'.length)) : undefined;
  if (!key) return as('secretForm');
  if (key.length < minSecret || key.length > maxSecret) return as('secretSize');
  if (!id) return as('noId');
  if (!timestamp) return as('noTimestamp');
  if (!/^\d+$/.test(timestamp)) return as('timestampForm');
  if (texts.length === 0) return as('noSignature');
  // Versions beside v1 may come with it; a receiver passes them over.
  const v1 = texts.filter((text) => text.startsWith('v1,'));
  if (v1.length === 0 || v1.some((text) => fromBase64(text.slice(3))?.length !== 32)) return as('signatureForm');
  const came = (text: string) => v1.includes(text);

  out.expected = await sign(key, id, timestamp, r.body);
  out.signedAt = Number(timestamp) * 1000;
  out.signatures = texts.map((text) => ({ text, fits: text === out.expected }));
  if (came(out.expected)) return as(now - out.signedAt > tolerance ? 'validOld' : out.signedAt - now > tolerance ? 'validFuture' : 'valid');
  if (timestamp.length >= 13 && came(await sign(key, id, timestamp.slice(0, -3), r.body))) return as('timestampMs');
  for (const [verdict, body] of formerBodies(r.body)) if (came(await sign(key, id, timestamp, body))) return as(verdict);
  for (const wrong of [secret, secret.slice('whsec_'.length)]) if (came(await sign(new TextEncoder().encode(wrong), id, timestamp, r.body))) return as('encodedSecret');
  try {
    const own = JSON.parse(r.body)?.id; // an event's body names the id that its delivery has
    if (typeof own === 'string' && own !== id && came(await sign(key, own, timestamp, r.body))) return as('idChanged');
  } catch {
    // no JSON: nothing more can be told
  }
  return as('differs');
}

/** The parts of a whole request: as curl -v prints it, as a log has it, or raw. */
export function parseRequest(text: string): Partial<Received> {
  const out: Partial<Received> = {};
  const all = text.replace(/^\s*\n/, '');
  const lines = all.split('\n');
  const bare = (line: string) => line.replace(/\r$/, '').replace(/^[<>*]\s?/, '');
  let at = 0;
  for (; at < lines.length; at++) {
    const line = bare(lines[at]!);
    if (line.trim() === '') break;
    const header = /^\s*-?-?H?\s*['"]?([\w-]+)\s*:\s*(.*?)['"]?\s*\\?$/.exec(line);
    if (!header) {
      // A request line, or the body where no empty line parts it from the headers.
      if (/^\s*[[{]/.test(line)) break;
      continue;
    }
    const name = header[1]!.toLowerCase();
    if (name === 'webhook-id') out.id = header[2];
    if (name === 'webhook-timestamp') out.timestamp = header[2];
    if (name === 'webhook-signature') out.signature = header[2];
  }
  while (at < lines.length && bare(lines[at]!).trim() === '') at++;
  // What follows is the body to its last byte, but for the line end that copying added.
  const body = lines.slice(at).join('\n').replace(/\r?\n$/, '');
  if (body) out.body = body;
  return out;
}
