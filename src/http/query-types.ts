// Kinds of query parameters that several lists share. Each comes as text and leaves as what the services take.
import { z } from 'zod';
import { PAGE_LIMIT_DEFAULT, PageQuery } from '../contracts/common.ts';
import { EVENT_NAMES, type EventNames } from '../contracts/events.ts';

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
  .meta({ description: 'RFC 3339 time, or a date: its first instant in UTC', format: 'date-time' });

const patternOf = (values: readonly string[]): string => {
  const one = `(${values.map((value) => value.replaceAll('.', '\\.')).join('|')})`;
  return `^${one}(,${one})*$`;
};

/** One or several of the values, separated by commas. */
export const commaList = <const Values extends readonly [string, ...string[]]>(values: Values) =>
  z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(values)))
    .meta({
      description: `Comma list of: ${values.join(', ')}`,
      pattern: patternOf(values),
    });

/** A parameter that comes as digits is documented as the number that it means. */
export const documentedAsInteger = (facts: { minimum: number; maximum?: number; default?: number }) => ({
  override: ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => {
    delete jsonSchema.pattern;
    Object.assign(jsonSchema, { type: 'integer', ...facts });
  },
});

/** Which names events have in the answer. */
export const namesParameter = (usual: EventNames) =>
  z.enum(EVENT_NAMES).default(usual).meta({
    description: `Names of events: \`log\` such as message.delta, \`stream\` such as content_delta`,
  });

/** Of calls whose answer can be streamed. */
export const StreamQuery = z.strictObject({ names: namesParameter('stream') });

/** What every list takes. */
export const pageParameters = {
  ...PageQuery.shape,
  limit: PageQuery.shape.limit.meta(
    documentedAsInteger({ minimum: 1, maximum: 100, default: PAGE_LIMIT_DEFAULT }),
  ),
};

export const ListQuery = z.strictObject(pageParameters);

/** So many digits are exact in a double, and no log gets as long. */
const SEQ_DIGITS_MAX = 15;

export const SEQ = new RegExp(`^\\d{1,${SEQ_DIGITS_MAX}}$`);

/** Where in a session's log to go on. */
export const seqParameter = z
  .string()
  .regex(SEQ, 'must be the seq of an event, or 0 for the start')
  .transform(Number)
  .meta(documentedAsInteger({ minimum: 0, maximum: 10 ** SEQ_DIGITS_MAX - 1 }));
