import type { Messages } from './index';
import { link } from './link';
import { shell, states } from './shell';

/** The words of the customer's page alone, which loads no others. */
export default { link, shell, states } as unknown as Messages;
