import { audit } from './audit';
import { chats } from './chats';
import { events } from './events';
import { keys } from './keys';
import { link } from './link';
import { media } from './media';
import { overview } from './overview';
import { sessions } from './sessions';
import { settings } from './settings';
import { shell, states } from './shell';
import { webhooks } from './webhooks';
import { welcome } from './welcome';

const en = { audit, chats, events, keys, link, media, overview, sessions, settings, shell, states, webhooks, welcome };

/** Literals of English are any string of another language; functions keep their parameters. */
type Widened<T> = { [K in keyof T]: T[K] extends string ? string : T[K] extends (...args: infer A) => string ? (...args: A) => string : T[K] extends object ? Widened<T[K]> : T[K] };

/** What every language must have. */
export type Messages = Widened<typeof en>;

export default en;
