import type { Messages } from '../en';
import { overview } from './overview';
import { shell, states } from './shell';

/** What the first page says, and the frame around it. */
export default { overview, shell, states } as Messages;
