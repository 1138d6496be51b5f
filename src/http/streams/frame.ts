// One log event as one server-sent event.
import { EVENT_DATA, OPENING_NAME, type SessionEvent, STREAM_NAMES } from '../../contracts/events.ts';

/** Readers that do not buffer lose a frame that two reads share; up to this size none was lost. */
export const FRAME_BYTES_MAX = 16 * 1024;

/** Given up first, then the rest: what makes a resource big, in the order in which it is missed least. */
const LONG_FIELDS = ['content', 'content_blocks', 'tool_calls', 'parameters', 'result'];
const OTHER_FIELDS = ['metadata', 'memory', 'thinking', 'tools', 'warnings', 'files', 'waiting_for'];
const ERROR_LENGTH_MAX = 1_000;

type Payload = Record<string, unknown>;

/** After the end of its connection a reader comes back so soon, with the id of the last event that it has. */
const RETRY_MS = 1_000;

/** The whole frame in ASCII, so that no reader can cut a character in two. */
export const toStreamFrame = (event: SessionEvent): string => toFrame(event, STREAM_NAMES[event.type]);

/** The same with the name that the event has in the log. */
export const toLogFrame = (event: SessionEvent): string => toFrame(event, event.type);

/** Without an id: it is no event, and a reader that comes back must not start from it. */
export const toOpeningFrame = (tailSeq: number): string =>
  `retry: ${RETRY_MS}\nevent: ${OPENING_NAME}\ndata: ${asciiJson({ type: OPENING_NAME, tail_seq: tailSeq })}\n\n`;

function toFrame(event: SessionEvent, name: string): string {
  const payload = payloadOf(event, name);
  const whole = render(event, payload, name);
  if (whole.length <= FRAME_BYTES_MAX) return whole;
  const shorter = render(event, shortened(event, payload, LONG_FIELDS), name);
  if (shorter.length <= FRAME_BYTES_MAX) return shorter;
  return render(event, shortened(event, payload, [...LONG_FIELDS, ...OTHER_FIELDS]), name);
}

/** Events of the log as clients see them: only the fields that their contract names. */
export function eventBody(event: SessionEvent): Payload {
  const { data, ...envelope } = event;
  return { ...envelope, ...EVENT_DATA[event.type].parse(data) };
}

function payloadOf(event: SessionEvent, name: string): Payload {
  const payload = { ...eventBody(event), type: name };
  if (event.type !== 'error.occurred') return payload;
  const { error } = payload as unknown as { error: { message: string; code: string } };
  const message = error.message.slice(0, ERROR_LENGTH_MAX);
  // The guide's handler reads `event.message` as text.
  return { ...payload, error: { ...error, message }, message, code: error.code };
}

const render = (event: SessionEvent, payload: Payload, name: string): string =>
  `id: ${event.seq}\nevent: ${name}\ndata: ${asciiJson(payload)}\n\n`;

const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

function shortened(event: SessionEvent, payload: Payload, fields: readonly string[]): Payload {
  const result: Payload = { ...payload, truncated: true, url: urlOf(event) };
  for (const name of ['message', 'session', 'tool_call']) {
    const resource = payload[name];
    if (typeof resource === 'object' && resource !== null)
      result[name] = withoutFields(resource as Payload, fields);
  }
  return result;
}

const withoutFields = (resource: Payload, fields: readonly string[]): Payload =>
  Object.fromEntries(
    Object.entries(resource).map(([name, value]) => [name, fields.includes(name) ? null : value]),
  );

function urlOf({ type, session_id, message_id }: SessionEvent): string {
  const session = `/v1/sessions/${session_id}`;
  return type.startsWith('session.') || message_id === null ? session : `${session}/messages/${message_id}`;
}
