import type { Schemas } from '../../api/client';
import type { Session } from '../../api/sessions.svelte';

type Sending = NonNullable<Schemas['Settings']['sending']>;

/** A session's settings as a form has them: everything there, what is off beside what it would be. */
export interface Form {
  name: string;
  deviceName: string;
  metadata: { key: string; value: string }[];
  presence: string;
  markRead: boolean;
  calls: { reject: boolean; text: string };
  proxy: string;
  ignore: Record<'groups' | 'status' | 'broadcasts' | 'channels', boolean>;
  pace: { on: boolean; minSeconds: number; maxSeconds: number };
  newContacts: { on: boolean; minSeconds: number; maxSeconds: number; perDay: number; warmUpDays: number; warmUpFrom?: string };
  window: { on: boolean; from: string; to: string; days: string[]; timeZone: string };
}

export function formOf(session: Session): Form {
  const s = session.settings;
  const { pace, newContacts, window } = s.sending ?? {};
  return {
    name: session.name ?? '',
    deviceName: s.deviceName ?? '',
    metadata: Object.entries(s.metadata ?? {}).map(([key, value]) => ({ key, value })),
    presence: s.presence || 'unavailable',
    markRead: s.markRead ?? false,
    calls: { reject: s.calls?.reject ?? false, text: s.calls?.text ?? '' },
    proxy: s.proxy ?? '',
    ignore: { groups: s.ignore?.groups ?? false, status: s.ignore?.status ?? false, broadcasts: s.ignore?.broadcasts ?? false, channels: s.ignore?.channels ?? false },
    pace: { on: !!pace, minSeconds: pace?.minSeconds ?? 3, maxSeconds: pace?.maxSeconds ?? 8 },
    newContacts: {
      on: !!newContacts, minSeconds: newContacts?.minSeconds ?? 30, maxSeconds: newContacts?.maxSeconds ?? 90,
      perDay: newContacts?.perDay ?? 0, warmUpDays: newContacts?.warmUpDays ?? 0, warmUpFrom: newContacts?.warmUpFrom,
    },
    window: { on: !!window, from: window?.from ?? '09:00', to: window?.to ?? '19:00', days: window?.days ?? [], timeZone: window?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone },
  };
}

function sendingOf(form: Form): Sending {
  const { on: paced, ...pace } = form.pace;
  const { on: bounded, ...newContacts } = form.newContacts;
  const { on: timed, days, ...window } = form.window;
  return {
    ...(paced && { pace }),
    ...(bounded && { newContacts }),
    ...(timed && { window: { ...window, ...(days.length && { days: days as NonNullable<NonNullable<Sending['window']>['days']> }) } }),
  };
}

function settingsOf(form: Form): Required<Schemas['SessionSettings']> {
  return {
    deviceName: form.deviceName,
    metadata: Object.fromEntries(form.metadata.filter((pair) => pair.key).map((pair) => [pair.key, pair.value])),
    presence: form.presence as 'available' | 'unavailable',
    markRead: form.markRead,
    calls: { reject: form.calls.reject, ...(form.calls.text && { text: form.calls.text }) },
    proxy: form.proxy.trim(),
    ignore: form.ignore,
    sending: sendingOf(form),
  };
}

/** What a form changes of a session, as PATCH takes it: a member that stays as it is is left out, and so is a proxy whose user is hidden. */
export function changes(session: Session, form: Form): Schemas['ChangeSession'] & { count: number } {
  const was = formOf(session);
  const before = settingsOf(was);
  const after = settingsOf(form);
  const settings: Record<string, unknown> = {};
  for (const name of Object.keys(after) as (keyof typeof after)[]) {
    if (JSON.stringify(before[name]) !== JSON.stringify(after[name])) settings[name] = after[name];
  }
  const named = form.name.trim() !== was.name;
  const count = Object.keys(settings).length + (named ? 1 : 0);
  return { ...(named && { name: form.name.trim() }), ...(Object.keys(settings).length && { settings }), count };
}
