import type { Component } from 'svelte';
import type { Scope } from '../api/auth.svelte';
import { i18n } from '../i18n/i18n.svelte';

export interface Route {
  /** The first part of the path; parts that follow are the page's. */
  name: string;
  /** What the key must be able to do; undefined: nothing. */
  scope?: Scope;
  /** Whether it is of all sessions together, and so for keys of all sessions. */
  everywhere?: boolean;
  load: () => Promise<{ default: Component<{ rest: string[] }> }>;
}

/** A page with its words; those of the first page are there. */
async function worded<T>(page: Promise<T>): Promise<T> {
  await i18n.whole();
  return page;
}

/** The pages, in the order of the menu. Each is a bundle of its own. */
export const routes: Route[] = [
  { name: '', scope: 'read', load: () => import('./overview/Overview.svelte') },
  { name: 'sessions', scope: 'read', load: () => worded(import('./sessions/Sessions.svelte')) },
  { name: 'chats', scope: 'read', load: () => worded(import('./chats/Chats.svelte')) },
  { name: 'events', scope: 'read', load: () => worded(import('./events/Events.svelte')) },
  { name: 'webhooks', scope: 'read', load: () => worded(import('./webhooks/Webhooks.svelte')) },
  { name: 'media', scope: 'read', load: () => worded(import('./media/Media.svelte')) },
  { name: 'keys', scope: 'admin', load: () => worded(import('./keys/Keys.svelte')) },
  { name: 'audit', scope: 'admin', load: () => worded(import('./audit/Audit.svelte')) },
  { name: 'settings', load: () => worded(import('./settings/Settings.svelte')) },
  { name: 'welcome', scope: 'read', load: () => worded(import('./welcome/Welcome.svelte')) },
];
