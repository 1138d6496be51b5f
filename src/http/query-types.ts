// Kinds of query parameters that several lists share. Each comes as text and leaves as what the services take.
import { z } from 'zod';

const RFC3339 = z.iso.datetime({ offset: true });
const DATE = z.iso.date();

/** Milliseconds since the epoch; a date alone is its first instant in UTC. */
export const timeMs = z
  .string()
  .refine((text) => RFC3339.safeParse(text).success || DATE.safeParse(text).success, {
    message: 'must be a time as in RFC 3339, such as 2026-02-20T10:30:00Z',
    abort: true,
  })
  .transform((text) => Date.parse(text))
  .meta({ description: 'RFC 3339 time, or a date: its first instant in UTC' });

/** One or several of the values, separated by commas. */
export const commaList = <const Values extends readonly [string, ...string[]]>(values: Values) =>
  z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(values)))
    .meta({ description: `Comma list of: ${values.join(', ')}` });
