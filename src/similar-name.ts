// Suggests the known name closest to a mistyped one.

/** With more differences, the name is a different word. */
const DISTANCE_MAX = 3;

/** The number of letters to add, remove or replace. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [line, letter] of [...from].entries()) {
    const next = [line + 1];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (row[column - 1] ?? 0) + (to[column - 1] === letter ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** The first words of a longer name count as one difference. */
const farFrom = (name: string, known: string): number =>
  name.includes('_') && known.startsWith(name) ? 1 : distance(name, known);

/**
 * @param prefix is ignored: OPENCLAW_PORT counts as PORT.
 * @returns the nearest of `names`, or undefined if none is near.
 */
export function similarName(name: string, names: readonly string[], prefix: string): string | undefined {
  const plain = (text: string) => (text.startsWith(prefix) ? text.slice(prefix.length) : text);
  const max = Math.min(DISTANCE_MAX, plain(name).length / 3);
  const ranked = names
    .map((each) => ({ each, far: farFrom(plain(name), plain(each)) }))
    .sort((a, b) => a.far - b.far);
  const [best] = ranked;
  return best !== undefined && best.far <= max ? best.each : undefined;
}
