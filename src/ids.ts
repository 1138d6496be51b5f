// Makes ids: a prefix and 24 random letters and digits. Ids contain no clock time, so they reveal nothing.
import { randomBytes } from 'node:crypto';
import type { IdPrefix } from './contracts/ids.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const ID_LENGTH = 24;
/** The largest multiple of 62 in a byte. Higher values would favour the first letters. */
const UNBIASED_BELOW = 248;

/** @returns `length` characters of [A-Za-z0-9], each equally likely. */
export function randomText(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length - text.length + 8)) {
      if (byte < UNBIASED_BELOW && text.length < length) text += ALPHABET[byte % ALPHABET.length];
    }
  }
  return text;
}

export const newId = (prefix: IdPrefix): string => `${prefix}_${randomText(ID_LENGTH)}`;
