import { createContext } from 'svelte';
import { type Problem, problemOf } from '../../api/client';
import { announce } from '../../parts/announce.svelte';
import { i18n } from '../../i18n/i18n.svelte';
import type { Message } from './messages';
import type { Thread } from './thread.svelte';

/** A file that is shown large. */
export interface Enlarged {
  src: string;
  name: string;
  mediaId: string;
}

/** What was written in a chat and not sent, until this tab is closed. */
export const drafts = new Map<string, string>();

/** What the parts of an open chat share: its thread, and what is being done in it. */
export class View {
  readonly thread: Thread;
  replying = $state.raw<Message>();
  editing = $state.raw<Message>();
  forwarding = $state.raw<Message>();
  /** A live location of which a newer position is to be sent. */
  moving = $state.raw<Message>();
  enlarged = $state.raw<Enlarged>();
  /** Asked before it is done. */
  removing = $state.raw<{ message: Message; scope: 'everyone' | 'me' }>();
  problem = $state.raw<Problem>();
  /** Opens the menu of a message at an element. */
  menu: (opener: HTMLElement, message: Message) => void = () => {};
  /** Scrolls to a message, older ones included. */
  jump: (id: string) => void = () => {};

  constructor(thread: Thread) {
    this.thread = thread;
  }

  /** Does something, and shows in the thread what became of it. */
  async do(action: () => Promise<'done' | 'waits' | void>) {
    this.problem = undefined;
    try {
      if ((await action()) === 'waits') announce(i18n.t.chats.waitsForConnection);
    } catch (error) {
      this.problem = problemOf(error);
    }
  }
}

export const [getView, setView] = createContext<View>();
