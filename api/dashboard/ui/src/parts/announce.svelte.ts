/** The one polite live region of the page: what changed that a screen reader's user would miss. */
export const region = $state({ text: '' });

/** Says something; the same twice is said twice. */
export function announce(text: string) {
  region.text = '';
  setTimeout(() => (region.text = text), 50);
}
