import { i18n } from '../../i18n/i18n.svelte';
import type { Address } from './messages';
import type { Thread } from './thread.svelte';

/** Whom a text of a group mentions, as the API takes it: where @ and the digits stand, of a member or of any number. */
export function mentionsIn(thread: Thread, text: string): { mentions?: Address[]; mentionsEveryone?: boolean } {
  if (thread.chat?.kind !== 'group') return {};
  const found = new Map<string, Address>();
  for (const [, digits] of text.matchAll(/(?<![\p{L}\p{N}])@(\d{5,20})(?!\d)/gu)) {
    const who: Address | undefined = thread.members?.find((m) => m.phone === digits || m.lid === digits) ?? (digits!.length >= 7 && digits!.length <= 15 ? { id: `${digits}@s.whatsapp.net`, kind: 'user', phone: digits } : undefined);
    if (who) found.set(who.id, { id: who.id, kind: who.kind, phone: who.phone, lid: who.lid, name: who.name });
  }
  const everyone = text.split(/\s+/).some((word) => word.replace(/[.,;:!?)]+$/, '') === `@${i18n.t.chats.mention.everyone}`);
  return { mentions: found.size > 0 ? [...found.values()] : undefined, mentionsEveryone: everyone || undefined };
}
