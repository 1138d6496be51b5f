// The texts of faults. A model fixes its input by them, so they name the field and are short.
import { stringifyJson } from '../../contracts/json.ts';
import { MESSAGE_CHARACTERS_MAX } from './limits.ts';

const KEY_CHARACTERS_MAX = 64;
const NAME_CHARACTERS_MAX = 200;
const VALUES_CHARACTERS_MAX = 200;
const PLAIN_KEY = /^[\w$-]{1,64}$/;

/** Cuts between characters, never inside a surrogate pair. */
export function clip(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 1).toWellFormed()}…`;
}

function step(key: string | number): string {
  if (typeof key === 'number') return `[${key}]`;
  return PLAIN_KEY.test(key) ? `.${key}` : `[${JSON.stringify(clip(key, KEY_CHARACTERS_MAX))}]`;
}

/** `'filters[0].limit'`. */
export function nameOf(path: (string | number)[]): string {
  if (path.length === 0) return 'the input';
  const name = path.map(step).join('').replace(/^\./, '');
  return `'${clip(name, NAME_CHARACTERS_MAX)}'`;
}

/** As many as fit into a message, and always the first. */
function firstOf(words: string[]): string[] {
  let characters = 0;
  const end = words.findIndex((word, index) => {
    characters += word.length;
    return index > 0 && characters > VALUES_CHARACTERS_MAX;
  });
  return end < 0 ? words : [...words.slice(0, end), '…'];
}

/** Values of a schema, as JSON. */
export const listOf = (values: unknown[]): string =>
  firstOf(values.slice(0, VALUES_CHARACTERS_MAX).map(shown)).join(', ');

export const shown = (value: unknown): string => clip(stringifyJson(value), VALUES_CHARACTERS_MAX);

export const counted = (count: number, thing: string): string =>
  `${count} ${count === 1 ? thing : `${thing}s`}`;

export const sentenceOf = (faults: string[]): string => clip(faults.join('; '), MESSAGE_CHARACTERS_MAX);
