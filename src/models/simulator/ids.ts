// Ids in the shape of Anthropic's: a prefix, the version digits, 22 letters and digits.

import { randomBytes } from 'node:crypto';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

export function createId(prefix: 'msg' | 'toolu' | 'req'): string {
  const letters = [...randomBytes(22)].map((byte) => ALPHABET[byte % ALPHABET.length]);
  return `${prefix}_01${letters.join('')}`;
}
