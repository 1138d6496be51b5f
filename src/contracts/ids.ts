// Shapes of ids: a prefix that names the resource and 24 letters and digits.
import { z } from 'zod';

export const ID_PREFIXES = ['acct', 'key', 'sess', 'msg', 'call', 'evt', 'req', 'mcall'] as const;
export type IdPrefix = (typeof ID_PREFIXES)[number];

const pattern = (prefix: IdPrefix) => new RegExp(`^${prefix}_[A-Za-z0-9]{24}$`);

export const isId = (prefix: IdPrefix, value: string): boolean => pattern(prefix).test(value);

/** Schema of an id in an answer. Requests are not checked with it: an id of a wrong shape is a 404. */
export const idOf = (prefix: IdPrefix) => z.string().regex(pattern(prefix));
