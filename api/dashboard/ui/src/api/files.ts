import { auth } from './auth.svelte';
import { api, must, Problem, type Schemas } from './client';
import { stream } from './stream.svelte';

// A ticket opens files for 10 minutes. It is renewed a while before, so that what is begun with one also ends.
const renewBefore = 3 * 60_000;

let ticket: Promise<Schemas['Ticket']> | undefined;
let until = 0;
let of = '';

/** The address of a file's bytes for what cannot send a key: images, downloads. One ticket does for all. */
export async function contentUrl(id: string): Promise<string> {
  if (!ticket || of !== auth.key || stream.now() > until - renewBefore) {
    of = auth.key;
    until = stream.now() + 10 * 60_000;
    const asked = (ticket = must(api.POST('/v1/stream-tickets', { body: { for: 'media' } })));
    asked.then(
      (t) => (until = Date.parse(t.expiresAt)),
      () => ticket === asked && (ticket = undefined),
    );
  }
  return `/v1/media/${encodeURIComponent(id)}/content?ticket=${encodeURIComponent((await ticket).ticket)}`;
}

/** Forgets the ticket: it was not taken. */
export function forgetTicket() {
  ticket = undefined;
}

/** Uploads a file and tells how far it is, from 0 to 1, which fetch does not; `key` makes a repeat harmless. */
export function upload(file: Blob, name: string, key: string, progress: (part: number) => void): Promise<Schemas['MediaInfo']> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/v1/media');
    request.setRequestHeader('X-API-Key', auth.key);
    request.setRequestHeader('Idempotency-Key', key);
    request.responseType = 'json';
    request.upload.onprogress = (e) => e.lengthComputable && progress(e.loaded / e.total);
    request.onload = () => {
      if (request.status === 401) auth.expire();
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(new Problem(request.response ?? {}, request.status));
    };
    request.onerror = () => reject(new Problem({ code: 'unreachable' }, 0));
    const body = new FormData();
    body.append('file', file, name);
    request.send(body);
  });
}

/** Saves a file on this machine. */
export async function download(id: string, name: string) {
  const link = document.createElement('a');
  link.href = await contentUrl(id);
  link.download = name;
  link.click();
}
