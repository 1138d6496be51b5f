// Times from clients, in every spelling of RFC 3339.
import { z } from 'zod';

const DATE_TIME = z.iso.datetime({ offset: true });
const DATE = z.iso.date();

/** `Date` has no leap seconds, so second 60 is read as the first instant of the next minute. */
const LEAP_SECOND = /^(.{10}T\d\d:\d\d):60/;
const SECOND_MS = 1_000;

export const TIME_MESSAGE = 'must be a time as in RFC 3339, such as 2026-02-20T10:30:00Z';

/** @returns milliseconds since the epoch, or null if the text isn't an RFC 3339 time. */
export function parseTime(text: string): number | null {
  const upper = text.replace(/[tz]/g, (letter) => letter.toUpperCase());
  const known = upper.replace(LEAP_SECOND, '$1:59');
  if (!DATE_TIME.safeParse(known).success) return null;
  return Date.parse(known) + (known === upper ? 0 : SECOND_MS);
}

/** Like `parseTime`. A date alone means its first instant in UTC. */
export const parseTimeOrDate = (text: string): number | null =>
  DATE.safeParse(text).success ? Date.parse(text) : parseTime(text);

/** A time in a body, stored as sent. The service reads it with `timeMs`. */
export const Time = z
  .string({ error: TIME_MESSAGE })
  .refine((text) => parseTime(text) !== null, { message: TIME_MESSAGE })
  .meta({ format: 'date-time' });

/** Milliseconds since the epoch. The contract has already checked the text. */
export const timeMs = (time: string): number => parseTime(time) ?? Number.NaN;
