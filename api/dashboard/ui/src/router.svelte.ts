/**
 * Where the page is. Filters and selections live in the query, so that a view can be shared and the browser's back button works.
 */
class Router {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));

  constructor() {
    addEventListener('popstate', () => this.#read());
  }

  #read() {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  /** Goes to a path of the dashboard. */
  go(to: string, { replace = false }: { replace?: boolean } = {}) {
    if (to === location.pathname + location.search) return;
    history[replace ? 'replaceState' : 'pushState'](null, '', to);
    this.#read();
  }

  /** Changes parameters of the query in place; an empty value takes one out. */
  set(changes: Record<string, string | undefined>) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    this.go(location.pathname + (text && `?${text}`), { replace: true });
  }

  /** A parameter of the query; '' where it is not there. */
  get(name: string): string {
    return this.query.get(name) ?? '';
  }
}

export const router = new Router();

/** Handles clicks on links to pages of the dashboard; others, and those with a modifier, are the browser's. */
export function follow(event: MouseEvent) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest?.('a');
  if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download') || link.hasAttribute('data-external')) return;
  event.preventDefault();
  router.go(link.pathname + link.search);
}
