import type { Messages } from './en';
import { preference } from '../preference';

export type Language = 'en' | 'es';
export type Loaders = Record<Language, () => Promise<{ default: Messages }>>;

const all: Loaders = { en: () => import('./en'), es: () => import('./es') };

class I18n {
  /** Where the words come from; a page that needs few of them loads those alone. Those of the first page are a tenth of all. */
  loaders: Loaders = { en: () => import('./en/first'), es: () => import('./es/first') };
  language = $state<Language>('en');
  #messages = $state.raw<Messages>();
  #whole?: Promise<void>;

  /** The words of the language in force. */
  get t(): Messages {
    return this.#messages!;
  }

  /** Loads a language: the chosen one, else the browser's, else English. */
  async use(language?: Language) {
    const chosen = language ?? ((preference('language') || navigator.language.slice(0, 2)) as Language);
    await this.#load(chosen in this.loaders ? chosen : 'en');
    if (language) preference('language', language);
  }

  /** Loads the words of all pages: every page but the first waits for them. */
  whole(): Promise<void> {
    this.loaders = all;
    this.#whole ??= this.#load(this.language).catch((error) => {
      this.#whole = undefined; // another page tries again
      throw error;
    });
    return this.#whole;
  }

  async #load(language: Language) {
    const { default: messages } = await this.loaders[language]();
    this.#messages = messages;
    this.language = language;
    document.documentElement.lang = language;
  }
}

export const i18n = new I18n();

// Formatters are kept: making one per row cost four times the script time of a list.
const cache = new Map<string, unknown>();
function cached<T>(name: string, make: (language: string) => T): T {
  const key = i18n.language + name;
  let value = cache.get(key) as T | undefined;
  if (!value) cache.set(key, (value = make(i18n.language)));
  return value;
}

/** 1,234. */
export function number(value: number, digits = 0): string {
  return cached(`number${digits}`, (l) => new Intl.NumberFormat(l, { maximumFractionDigits: digits })).format(value);
}

/** 15:02:31, or without seconds. */
export function clock(at: string | number | Date, seconds = false): string {
  return cached(`clock${seconds}`, (l) => new Intl.DateTimeFormat(l, { hour: '2-digit', minute: '2-digit', second: seconds ? '2-digit' : undefined, hourCycle: 'h23' })).format(new Date(at));
}

/** 26 Nov 2026, 15:02. */
export function moment(at: string | number | Date): string {
  return cached('moment', (l) => new Intl.DateTimeFormat(l, { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' })).format(new Date(at));
}

/** 26 Nov 2026. */
export function day(at: string | number | Date): string {
  return cached('day', (l) => new Intl.DateTimeFormat(l, { dateStyle: 'medium' })).format(new Date(at));
}

/** The time of today, else the day: what a list of chats shows. */
export function when(at: string, now = Date.now()): string {
  const date = new Date(at);
  if (new Date(now).toDateString() === date.toDateString()) return clock(date);
  return cached('when', (l) => new Intl.DateTimeFormat(l, { day: 'numeric', month: 'short' })).format(date);
}

const units: [Intl.RelativeTimeFormatUnit, number][] = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]];

/** 2 min ago; in 30 s. */
export function relative(at: string | number | Date, now = Date.now()): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const [unit, length] = units.find(([, l]) => Math.abs(seconds) >= l) ?? ['second', 1];
  return cached('relative', (l) => new Intl.RelativeTimeFormat(l, { style: 'narrow', numeric: 'auto' })).format(Math.trunc(seconds / length), unit);
}

/** 48 ms, 1.2 s, 3 min. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${number(seconds * 1000)} ms`;
  if (seconds < 60) return `${number(seconds, 1)} s`;
  if (seconds < 3600) return `${number(seconds / 60)} min`;
  return `${number(seconds / 3600, 1)} h`;
}

/** 1.2 MB. */
export function bytes(value: number): string {
  for (const [unit, size] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const) {
    if (value >= size) return `${number(value / size, 1)} ${unit}`;
  }
  return `${number(value)} B`;
}

/** The form of a language for a number: plural(2, {one: '1 row', other: '2 rows'}). */
export function plural(n: number, forms: { one: string; other: string }): string {
  return cached('plural', (l) => new Intl.PluralRules(l)).select(n) === 'one' ? forms.one : forms.other;
}

/** +54 9 11 2345-6789 is the phone's business: +, and the digits. */
export function phone(digits: string | undefined): string {
  return digits ? `+${digits}` : '';
}

/** What a person calls an address: its name, else its number, else its id. */
export function nameOf(address: { id: string; name?: string; phone?: string } | undefined): string {
  if (!address) return '';
  return address.name || (address.phone ? phone(address.phone) : address.id.replace(/@.*$/, ''));
}
