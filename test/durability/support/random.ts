// Chance that can be repeated: the printed seed gives the same schedule again.

export interface Random {
  /** From 0 up to 1. */
  next(): number;
  between(min: number, max: number): number;
  pick<T>(list: readonly T[]): T;
  /** A generator of its own, so that who draws when does not matter to the others. */
  fork(name: string): Random;
}

/** FNV-1a, so that neighbouring names give unlike seeds. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const character of text) value = Math.imul(value ^ character.charCodeAt(0), 0x01000193);
  return value >>> 0;
}

/** Mulberry32: small, quick, and good enough to choose whom to kill. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  return {
    next,
    between: (min, max) => min + next() * (max - min),
    pick: (list) => list[Math.floor(next() * list.length)]!,
    fork: (name) => createRandom(hash(`${seed}/${name}`)),
  };
}

/** The run's seed: `DURABILITY_SEED`, or one that was never used before. */
export const SEED = Number(process.env.DURABILITY_SEED || Math.floor(Math.random() * 2 ** 31));
