// Ids: a prefix for the resource, then 24 letters and digits.

export const ID_PREFIXES = [
  'acct',
  'key',
  'sess',
  'msg',
  'call',
  'evt',
  'wh',
  'dlv',
  'req',
  'mcall',
] as const;
export type IdPrefix = (typeof ID_PREFIXES)[number];
