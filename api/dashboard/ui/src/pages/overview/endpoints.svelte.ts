import { api, must, type Schemas } from '../../api/client';
import { Resource } from '../../api/resource.svelte';
import { stream } from '../../api/stream.svelte';

export interface Ailing {
  endpoint: Schemas['Endpoint'];
  backlog?: Schemas['EndpointBacklog'];
}

// So many failures in a row are no accident; one that is tried again and goes is.
const inARow = 5;
// The backlog is asked for one endpoint at a time, so that of so many is enough.
const most = 10;
// While something fails, deliveries are looked at again when their figures move, but no more often than this.
const again = 10_000;

const ails = (e: Schemas['Endpoint']) => e.state === 'disabled' || (e.state === 'active' && (e.breaker !== 'closed' || e.consecutiveFailures >= inARow));

/** The endpoints that fail or were given up on, with what waits for them. Events say when one begins to fail; that it works again shows in the figures. */
export class Ailings {
  resource = new Resource<Ailing[]>(async (signal) => {
    const found: Schemas['Endpoint'][] = [];
    let cursor: string | undefined;
    do {
      const page: Schemas['ListEndpoint'] = await must(api.GET('/v1/webhook-endpoints', { params: { query: { limit: 200, cursor } }, signal }));
      found.push(...page.data.filter(ails));
      cursor = page.hasMore ? page.nextCursor : undefined;
    } while (cursor);
    return Promise.all(
      found.map(async (endpoint, i) => {
        if (i >= most) return { endpoint };
        try {
          const { backlog } = await must(api.GET('/v1/webhook-endpoints/{endpointId}', { params: { path: { endpointId: endpoint.id } }, signal }));
          return { endpoint, backlog };
        } catch {
          return { endpoint }; // it was deleted meanwhile, or cannot be asked now: that it fails is known
        }
      }),
    );
  });
  #seen = '';
  #at = 0;
  #soon?: ReturnType<typeof setTimeout>;

  /** Call it while a component is made. */
  follow(): this {
    $effect(() => {
      void this.resource.load();
      const stops = [
        stream.listen((events) => events.some((e) => e.type === 'webhook.failing' || e.type === 'webhook.disabled') && void this.resource.load()),
        stream.onGap(() => void this.resource.load()),
      ];
      return () => {
        clearTimeout(this.#soon);
        stops.forEach((stop) => stop());
      };
    });
    $effect(() => {
      const figures = JSON.stringify(stream.stats?.data.map((s) => [s.deliveries.failed, s.deliveries.succeeded, s.deliveries.exhausted]) ?? '');
      if (figures === this.#seen) return;
      const moved = this.#seen !== '';
      this.#seen = figures;
      if (!moved) return;
      // Not left out but put off: what moved last may be what mended it.
      this.#soon ??= setTimeout(() => {
        this.#soon = undefined;
        this.#at = Date.now();
        void this.resource.load();
      }, Math.max(0, this.#at + again - Date.now()));
    });
    return this;
  }
}
