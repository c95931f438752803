import type { Component } from 'svelte';
import type { Scope } from '../api/auth.svelte';

export interface Route {
  /** The first part of the path; parts that follow are the page's. */
  name: string;
  /** What the key must be able to do; undefined: nothing. */
  scope?: Scope;
  /** Whether it is of all sessions together, and so for keys of all sessions. */
  everywhere?: boolean;
  load: () => Promise<{ default: Component<{ rest: string[] }> }>;
}

/** The pages, in the order of the menu. Each is a bundle of its own. */
export const routes: Route[] = [
  { name: '', scope: 'read', load: () => import('./overview/Overview.svelte') },
  { name: 'sessions', scope: 'read', load: () => import('./sessions/Sessions.svelte') },
  { name: 'chats', scope: 'read', load: () => import('./chats/Chats.svelte') },
  { name: 'events', scope: 'read', load: () => import('./events/Events.svelte') },
  { name: 'webhooks', scope: 'read', load: () => import('./webhooks/Webhooks.svelte') },
  { name: 'media', scope: 'read', load: () => import('./media/Media.svelte') },
  { name: 'keys', scope: 'admin', load: () => import('./keys/Keys.svelte') },
  { name: 'audit', scope: 'admin', load: () => import('./audit/Audit.svelte') },
  { name: 'settings', load: () => import('./settings/Settings.svelte') },
  { name: 'welcome', scope: 'read', load: () => import('./welcome/Welcome.svelte') },
];
