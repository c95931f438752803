/**
 * WhatsApp's way of writing, as a tree: *bold*, _italic_, ~struck~, `code`, ```block```, links, and @ with the number of who is mentioned.
 * It is rendered as elements, never as HTML.
 */
export type Piece =
  | { kind: 'text' | 'code' | 'block' | 'mention'; text: string }
  | { kind: 'bold' | 'italic' | 'struck'; pieces: Piece[] }
  | { kind: 'link'; text: string; href: string };

const pattern =
  /```([\s\S]+?)```|`([^`\n]+)`|(?<![\p{L}\p{N}*])\*(?=\S)([^*\n]*[^*\s])\*(?![\p{L}\p{N}*])|(?<![\p{L}\p{N}_])_(?=\S)([^_\n]*[^_\s])_(?![\p{L}\p{N}_])|(?<![\p{L}\p{N}~])~(?=\S)([^~\n]*[^~\s])~(?![\p{L}\p{N}~])|(https?:\/\/[^\s<>"]+|(?<![\p{L}\p{N}.@/])www\.[^\s<>"]+)|@(\d{5,20})/gu;
const kinds = ['bold', 'italic', 'struck'] as const;

/** mentioned gives the name of who has this number or LID, where the message mentions him. */
export function parse(text: string, mentioned: (digits: string) => string | undefined): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  const plain = (until: number) => until > at && pieces.push({ kind: 'text', text: text.slice(at, until) });
  for (const match of text.matchAll(pattern)) {
    const [whole, block, code, bold, italic, struck, link, digits] = match;
    if (match.index < at) continue;
    let end = match.index + whole.length;
    let piece: Piece | undefined;
    if (block !== undefined) piece = { kind: 'block', text: block.replace(/^\n|\n$/g, '') };
    else if (code !== undefined) piece = { kind: 'code', text: code };
    else if (link !== undefined) {
      // What ends a sentence is no part of its link.
      const shown = link.replace(/[.,;:!?'*_~]+$/, '').replace(/^([^(]*)\)$/, '$1');
      end = match.index + shown.length;
      piece = { kind: 'link', text: shown, href: shown.startsWith('www.') ? `https://${shown}` : shown };
    } else if (digits !== undefined) {
      const name = mentioned(digits);
      if (name) piece = { kind: 'mention', text: `@${name}` };
    } else {
      const marked = [bold, italic, struck];
      const which = marked.findIndex((m) => m !== undefined);
      piece = { kind: kinds[which]!, pieces: parse(marked[which]!, mentioned) };
    }
    if (!piece) continue;
    plain(match.index);
    pieces.push(piece);
    at = end;
  }
  plain(text.length);
  return pieces;
}
