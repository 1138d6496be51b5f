// One log event as one server-sent event.
import { type EventBody, eventBody, fitted, shortError } from '../../contracts/event-body.ts';
import { OPENING_NAME, type SessionEvent, STREAM_NAMES } from '../../contracts/events.ts';

/** Readers that do not buffer lose a frame that two reads share; up to this size none was lost. */
export const FRAME_BYTES_MAX = 16 * 1024;

/** After the end of its connection a reader comes back so soon, with the id of the last event that it has. */
const RETRY_MS = 1_000;

/** The whole frame in ASCII, so that no reader can cut a character in two. */
export const toStreamFrame = (event: SessionEvent): string => toFrame(event, STREAM_NAMES[event.type]);

/** The same with the name that the event has in the log. */
export const toLogFrame = (event: SessionEvent): string => toFrame(event, event.type);

/** Without an id: it is no event, and a reader that comes back must not start from it. */
export const toOpeningFrame = (tailSeq: number): string =>
  `retry: ${RETRY_MS}\nevent: ${OPENING_NAME}\ndata: ${asciiJson({ type: OPENING_NAME, tail_seq: tailSeq })}\n\n`;

const toFrame = (event: SessionEvent, name: string): string =>
  fitted(event, payloadOf(event, name), {
    render: (payload) => render(event, payload, name),
    fits: (frame) => frame.length <= FRAME_BYTES_MAX,
  });

function payloadOf(event: SessionEvent, name: string): EventBody {
  const payload = { ...eventBody(event), type: name };
  if (event.type !== 'error.occurred') return payload;
  const error = shortError((payload as unknown as { error: { message: string; code: string } }).error);
  // The guide's handler reads `event.message` as text.
  return { ...payload, error, message: error.message, code: error.code };
}

const render = (event: SessionEvent, payload: EventBody, name: string): string =>
  `id: ${event.seq}\nevent: ${name}\ndata: ${asciiJson(payload)}\n\n`;

const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
