/** A line of a text, and in which of two it stands. */
export interface Line {
  text: string;
  in: 'both' | 'a' | 'b';
}

// Of longer texts than this many lines only what differs at the same place is found: the table of the common ones grows with the square.
const most = 600;

/** JSON is compared by its values, not by how it is written. */
function lines(text: string): string[] {
  if (text === '') return [];
  try {
    return JSON.stringify(JSON.parse(text), null, 2).split('\n');
  } catch {
    return text.split(/\r?\n/);
  }
}

/** The lines of two texts, those in both together: by the longest common subsequence. */
export function diff(a: string, b: string): Line[] {
  const [x, y] = [lines(a), lines(b)];
  if (x.length > most || y.length > most) {
    return Array.from({ length: Math.max(x.length, y.length) }, (_, i): Line[] =>
      x[i] === y[i] ? [{ text: x[i]!, in: 'both' }] : [...(i < x.length ? [{ text: x[i]!, in: 'a' as const }] : []), ...(i < y.length ? [{ text: y[i]!, in: 'b' as const }] : [])],
    ).flat();
  }
  const common = Array.from({ length: x.length + 1 }, () => new Uint16Array(y.length + 1));
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) common[i]![j] = x[i] === y[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
  }
  const out: Line[] = [];
  let [i, j] = [0, 0];
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) {
      out.push({ text: x[i++]!, in: 'both' });
      j++;
    } else if (j >= y.length || (i < x.length && common[i + 1]![j]! >= common[i]![j + 1]!)) out.push({ text: x[i++]!, in: 'a' });
    else out.push({ text: y[j++]!, in: 'b' });
  }
  return out;
}

/** A named value of two things. */
export interface Pair {
  name: string;
  a: string;
  b: string;
  /** It differs each time, though its value is not known. */
  anew?: boolean;
}

/** The headers of two answers by name, whatever its case. */
export function pairs(a: Record<string, string>, b: Record<string, string>): Pair[] {
  const lower = (h: Record<string, string>) => new Map(Object.entries(h).map(([name, value]) => [name.toLowerCase(), value]));
  const [x, y] = [lower(a), lower(b)];
  return [...new Set([...x.keys(), ...y.keys()])].sort().map((name) => ({ name, a: x.get(name) ?? '', b: y.get(name) ?? '' }));
}
