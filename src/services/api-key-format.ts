// The format of API keys: a prefix known to secret scanners, 30 random characters and their checksum. Operators may
// also bring keys of their own.
import { crc32 } from 'node:zlib';
import { randomText } from '../ids.ts';

const KEY_MARK = 'oclaw_live_';
const SECRET_LENGTH = 30;
const CHECKSUM_LENGTH = 6;
/** For keys that operators bring. Shorter keys could be guessed. */
const FOREIGN_KEY_LENGTH_MIN = 16;
const KEY_LENGTH_MAX = 256;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function checksum(secret: string): string {
  let rest = crc32(secret);
  let text = '';
  for (let digit = 0; digit < CHECKSUM_LENGTH; digit += 1) {
    text = ALPHABET[rest % ALPHABET.length] + text;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return text;
}

export function newKey(): string {
  const secret = randomText(SECRET_LENGTH);
  return KEY_MARK + secret + checksum(secret);
}

/** True if a key could exist. The store is queried only then. */
export function isWellFormed(key: string): boolean {
  if (!key.startsWith(KEY_MARK)) return key.length >= FOREIGN_KEY_LENGTH_MIN && key.length <= KEY_LENGTH_MAX;
  const body = key.slice(KEY_MARK.length);
  const secret = body.slice(0, SECRET_LENGTH);
  return body.length === SECRET_LENGTH + CHECKSUM_LENGTH && body.slice(SECRET_LENGTH) === checksum(secret);
}

/** The part of a key that lists show, enough to tell keys apart. */
export const prefixOf = (key: string): string =>
  key.startsWith(KEY_MARK) ? key.slice(0, KEY_MARK.length + 4) : key.slice(0, 4);
