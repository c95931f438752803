import type { Messages } from '../en';
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

const es: Messages = { audit, chats, events, keys, link, media, overview, sessions, settings, shell, states, webhooks, welcome };

export default es;
