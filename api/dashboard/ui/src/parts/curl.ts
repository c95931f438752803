/** A request as a line for a shell; the key comes from $CHASQUI_KEY. */
export function curl(method: string, path: string, body?: unknown, headers: string[] = []): string {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = ['curl -sS', method === 'GET' || (method === 'POST' && body !== undefined) ? '' : `-X ${method}`, quote(location.origin + path), '-H "X-API-Key: $CHASQUI_KEY"'];
  for (const header of headers) parts.push(`-H ${quote(header)}`);
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json' -d ${quote(JSON.stringify(body))}`);
  return parts.filter(Boolean).join(' ');
}
