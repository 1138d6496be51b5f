// An event as clients receive it: whole, or shortened to fit a frame or a webhook body.
import { EVENT_DATA, type EventNames, messageUrl, nameOf, type SessionEvent } from './events.ts';
import { stringifyJson } from './json.ts';
import type { Message, ShownMessage } from './messages.ts';
import { WEBHOOK_BODY_BYTES_MAX } from './webhooks.ts';

export type EventBody = Record<string, unknown>;

/** Shortening nulls `LONG_FIELDS` first and `OTHER_FIELDS` only if the event is still too large. Readers need the latter more. */
const LONG_FIELDS = ['content', 'content_blocks', 'tool_calls', 'parameters', 'result'];
const OTHER_FIELDS = ['metadata', 'memory', 'thinking', 'tools', 'warnings', 'files', 'waiting_for'];
const ERROR_LENGTH_MAX = 1_000;

/**
 * Length of a shortened text in a webhook, in UTF-16 units. Escaped units take six bytes each and still leave room for other
 * fields.
 */
const CUT_LENGTH = 8_000;

/** A log event as clients see it, with only the fields of its contract. */
export function eventBody(event: SessionEvent): EventBody {
  const { data, ...envelope } = event;
  return { ...envelope, ...EVENT_DATA[event.type].parse(data) };
}

/** Like `eventBody`, with these event names and the extra fields of streams. */
export function eventBodyNamed(event: SessionEvent, names: EventNames): EventBody {
  const body = { ...eventBody(event), type: nameOf(event.type, names) };
  if (event.type !== 'error.occurred') return body;
  const { error } = body as unknown as { error: { message: string; code: string } };
  // The guide's handler reads `event.message` as text.
  return { ...body, message: error.message, code: error.code };
}

/** URL of the full resource behind a shortened event. */
function urlOf({ type, session_id, message_id }: SessionEvent): string {
  return type.startsWith('session.') || message_id === null
    ? `/v1/sessions/${session_id}`
    : messageUrl(session_id, message_id);
}

/** Cuts the text without leaving half of a surrogate pair at the end. */
const cut = (text: string): string => text.slice(0, CUT_LENGTH).replace(/[\uD800-\uDBFF]$/, '');

type Replace = (name: string, value: unknown) => unknown;

const without =
  (fields: readonly string[]): Replace =>
  (name, value) =>
    fields.includes(name) ? null : value;

const withoutLong = without(LONG_FIELDS);
const withoutAll = without([...LONG_FIELDS, ...OTHER_FIELDS]);

const withBeginning: Replace = (name, value) =>
  name === 'content' && typeof value === 'string' ? cut(value) : withoutLong(name, value);

const replaced = (resource: object, replace: Replace): EventBody =>
  Object.fromEntries(Object.entries(resource).map(([name, value]) => [name, replace(name, value)]));

/** Limits an error's text, which comes from outside. Codes and types are short. */
export const shortError = <T extends { message: string }>(error: T): T => ({
  ...error,
  message: error.message.slice(0, ERROR_LENGTH_MAX),
});

function shortened(event: SessionEvent, body: EventBody, replace: Replace): EventBody {
  const result: EventBody = { ...body, truncated: true, url: urlOf(event) };
  for (const name of ['message', 'session', 'tool_call']) {
    const resource = body[name];
    if (typeof resource === 'object' && resource !== null) result[name] = replaced(resource, replace);
  }
  if (event.type === 'error.occurred') result.error = shortError(body.error as { message: string });
  return result;
}

/** A message without its long fields, for a response or frame with no room for them. */
export const shortMessage = (message: Message): ShownMessage => ({
  ...(replaced(message, withoutLong) as ShownMessage),
  ...{ truncated: true, url: messageUrl(message.session_id, message.id) },
});

interface Rendering {
  render: (body: EventBody) => string;
  fits: (text: string) => boolean;
}

/** Renders the longest version that fits. Field limits guarantee that the last version fits. */
function firstFitting(
  event: SessionEvent,
  body: EventBody,
  replacements: readonly Replace[],
  { render, fits }: Rendering,
): string {
  let text = render(body);
  for (const replace of replacements) {
    if (fits(text)) return text;
    text = render(shortened(event, body, replace));
  }
  return text;
}

export const fitted = (event: SessionEvent, body: EventBody, rendering: Rendering): string =>
  firstFitting(event, body, [withoutLong, withoutAll], rendering);

const asWebhook: Rendering = {
  render: (body) => stringifyJson(body),
  fits: (text) => Buffer.byteLength(text) <= WEBHOOK_BODY_BYTES_MAX,
};

/**
 * The body of a webhook, written by one `stringifyJson`. A message too long for it keeps the first 8,000 UTF-16 units if they
 * fit.
 */
export const webhookBody = (event: SessionEvent): string =>
  firstFitting(event, eventBody(event), [withBeginning, withoutLong, withoutAll], asWebhook);
