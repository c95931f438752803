/** A preference of this browser; nothing secret is kept there. */
export function preference(name: string, value?: string): string {
  try {
    if (value !== undefined) localStorage.setItem(`chasqui.${name}`, value);
    return localStorage.getItem(`chasqui.${name}`) ?? '';
  } catch {
    return value ?? '';
  }
}
