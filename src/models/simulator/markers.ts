// The markers that control one simulated reply. `../simulator.ts` has the table.

export interface Markers {
  delayMs: number;
  tokens: number | null;
  tokenMs: number | null;
  status: number | null;
  retryAfterS: number | null;
  retryAfterDateS: number | null;
  /** How many attempts with the same text fail. Null means all of them. */
  times: number | null;
  cutAfter: number | null;
  errorAfter: number | null;
  silentAfter: number | null;
  malformedAfter: number | null;
  /** How often in a row the tools of the text are called, with words before them. */
  rounds: number | null;
  isEmpty: boolean;
  isThinking: boolean;
  isTooLong: boolean;
  stopReason: string | null;
}

export type Fault = 'cut' | 'error' | 'silent' | 'malformed';

/** Every part is bounded. The text is the user's, and an open end would cost quadratic time. */
const MARKER = /\[\[([a-z_]{1,30}(?:=[^\]\s]{1,60})?(?:\s{1,4}[a-z_]{1,30}=[^\]\s]{1,60}){0,8})\]\]/g;

/** Unknown markers stay in the text as the user's words. */
export function readMarkers(text: string): Markers {
  const values = new Map<string, string>();
  for (const [, body = ''] of text.matchAll(MARKER)) {
    for (const pair of body.split(/\s+/)) {
      const [name = '', value = ''] = pair.split('=');
      values.set(name, value);
    }
  }
  const number = (name: string) => toNumber(values.get(name));
  return {
    delayMs: number('delay_ms') ?? 0,
    tokens: number('tokens'),
    tokenMs: number('token_ms'),
    status: toErrorStatus(number('status')),
    retryAfterS: number('retry_after'),
    retryAfterDateS: number('retry_after_date'),
    times: number('times'),
    cutAfter: number('cut_after'),
    errorAfter: number('error_after'),
    silentAfter: number('silent_after'),
    malformedAfter: number('malformed_after'),
    rounds: number('rounds'),
    isEmpty: values.has('empty'),
    isThinking: values.has('thinking'),
    isTooLong: values.has('context_too_long'),
    stopReason: values.get('stop_reason') ?? null,
  };
}

export function withoutMarkers(text: string): string {
  const rest = text.replace(MARKER, '');
  return rest === text ? text : rest.replace(/ {2,}/g, ' ').trim();
}

/** The same markers for an attempt after the last failing attempt (`times`). */
export function withoutFailures(markers: Markers): Markers {
  return {
    ...markers,
    status: null,
    cutAfter: null,
    errorAfter: null,
    silentAfter: null,
    malformedAfter: null,
    isTooLong: false,
  };
}

/** @returns the kind of fault and the number of deltas before it, or null. */
export function faultOf(markers: Markers): { kind: Fault; after: number } | null {
  if (markers.cutAfter !== null) return { kind: 'cut', after: markers.cutAfter };
  if (markers.errorAfter !== null) return { kind: 'error', after: markers.errorAfter };
  if (markers.silentAfter !== null) return { kind: 'silent', after: markers.silentAfter };
  if (markers.malformedAfter !== null) return { kind: 'malformed', after: markers.malformedAfter };
  return null;
}

function toNumber(value: string | undefined): number | null {
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : null;
}

function toErrorStatus(status: number | null): number | null {
  return status !== null && status >= 400 && status <= 599 ? status : null;
}
