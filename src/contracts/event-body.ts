// An event as it leaves: whole, or so much shorter that it fits where it has to.
import { EVENT_DATA, type EventNames, messageUrl, nameOf, type SessionEvent } from './events.ts';
import { stringifyJson } from './json.ts';
import type { Message, ShownMessage } from './messages.ts';
import { WEBHOOK_BODY_BYTES_MAX } from './webhooks.ts';

export type EventBody = Record<string, unknown>;

/** Given up first, then the rest: what makes a resource big, in the order in which it is missed least. */
const LONG_FIELDS = ['content', 'content_blocks', 'tool_calls', 'parameters', 'result'];
const OTHER_FIELDS = ['metadata', 'memory', 'thinking', 'tools', 'warnings', 'files', 'waiting_for'];
const ERROR_LENGTH_MAX = 1_000;

/** UTF-16 units of a text that is cut for a webhook: as escapes, six bytes each, they leave room for the rest. */
const CUT_LENGTH = 8_000;

/** Events of the log as clients see them: only the fields that their contract names. */
export function eventBody(event: SessionEvent): EventBody {
  const { data, ...envelope } = event;
  return { ...envelope, ...EVENT_DATA[event.type].parse(data) };
}

/** The same, as a stream with these names shows it. */
export function eventBodyNamed(event: SessionEvent, names: EventNames): EventBody {
  const body = { ...eventBody(event), type: nameOf(event.type, names) };
  if (event.type !== 'error.occurred') return body;
  const { error } = body as unknown as { error: { message: string; code: string } };
  // The guide's handler reads `event.message` as text.
  return { ...body, message: error.message, code: error.code };
}

/** Where the whole of a shortened event is. */
function urlOf({ type, session_id, message_id }: SessionEvent): string {
  return type.startsWith('session.') || message_id === null
    ? `/v1/sessions/${session_id}`
    : messageUrl(session_id, message_id);
}

/** Without half of a surrogate pair at its end. */
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

/** Codes and types are short; an error's text comes from outside. */
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

/** A message that an answer has no room for, as a frame shows it. */
export const shortMessage = (message: Message): ShownMessage => ({
  ...(replaced(message, withoutLong) as ShownMessage),
  ...{ truncated: true, url: messageUrl(message.session_id, message.id) },
});

interface Rendering {
  render: (body: EventBody) => string;
  fits: (text: string) => boolean;
}

/** The text of as much of the body as fits; of the least when even that does not, which no field's bound allows. */
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
 * The body of a webhook: one `stringifyJson`. A long message keeps as much of its text as fits.
 */
export const webhookBody = (event: SessionEvent): string =>
  firstFitting(event, eventBody(event), [withBeginning, withoutLong, withoutAll], asWebhook);
