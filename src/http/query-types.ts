// Query parameters shared by several lists. Each turns text into a value for the services.
import { z } from 'zod';
import { PAGE_LIMIT_DEFAULT, PageQuery } from '../contracts/common.ts';
import { EVENT_NAMES, type EventNames } from '../contracts/events.ts';
import { parseTimeOrDate, TIME_MESSAGE } from '../contracts/time.ts';

/** A query decodes `+` to a space, so an unescaped offset arrives as ` 02:00`. */
const UNESCAPED_OFFSET = / \d\d:\d\d$/;

/** Milliseconds since the epoch. */
export const timeParameter = z
  .string()
  .transform((text, { addIssue }) => {
    const ms = parseTimeOrDate(text);
    if (ms !== null) return ms;
    const hint = UNESCAPED_OFFSET.test(text) ? "; write the '+' of an offset as %2B" : '';
    addIssue(`${TIME_MESSAGE}${hint}`);
    return z.NEVER;
  })
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

/** Documents a parameter of digits as an integer. */
export const documentedAsInteger = (facts: { minimum: number; maximum?: number; default?: number }) => ({
  override: ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => {
    delete jsonSchema.pattern;
    Object.assign(jsonSchema, { type: 'integer', ...facts });
  },
});

/** The event names in the response. */
export const namesParameter = (usual: EventNames) =>
  z.enum(EVENT_NAMES).default(usual).meta({
    description: `Names of events: \`log\` such as message.delta, \`stream\` such as content_delta`,
  });

/** The query of calls whose response can be a stream. */
export const StreamQuery = z.strictObject({ names: namesParameter('stream') });

/** The parameters of every list. */
export const pageParameters = {
  ...PageQuery.shape,
  limit: PageQuery.shape.limit.meta(
    documentedAsInteger({ minimum: 1, maximum: 100, default: PAGE_LIMIT_DEFAULT }),
  ),
};

export const ListQuery = z.strictObject(pageParameters);

/** A double holds 15 digits exactly, and no log gets as long. */
const SEQ_DIGITS_MAX = 15;

export const SEQ = new RegExp(`^\\d{1,${SEQ_DIGITS_MAX}}$`);

/** The position in a session's log to resume after. */
export const seqParameter = z
  .string()
  .regex(SEQ, 'must be the seq of an event, or 0 for the start')
  .transform(Number)
  .meta(documentedAsInteger({ minimum: 0, maximum: 10 ** SEQ_DIGITS_MAX - 1 }));
