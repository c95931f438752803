import AudioLines from '@lucide/svelte/icons/audio-lines';
import FileText from '@lucide/svelte/icons/file-text';
import Image from '@lucide/svelte/icons/image';
import Video from '@lucide/svelte/icons/video';
import type { Tone } from '../../parts/State.svelte';

export const kinds = ['image', 'video', 'audio', 'document'] as const;
export const statuses = ['ready', 'pending', 'failed', 'expired'] as const;
export const icons = { image: Image, video: Video, audio: AudioLines, document: FileText };
export const tones: Record<(typeof statuses)[number], Tone> = { pending: 'info', ready: 'ok', failed: 'bad', expired: 'idle' };

/** The kind of a media type, as the API's filter has it. */
export function kindOf(mimetype: string): (typeof kinds)[number] {
  const kind = mimetype.split('/')[0] as (typeof kinds)[number];
  return kinds.includes(kind) ? kind : 'document';
}

/** Whether the page may show it: what holds markup or scripts is for downloading alone. */
export function shows(mimetype: string): boolean {
  return kindOf(mimetype) !== 'document' && !mimetype.startsWith('image/svg');
}
