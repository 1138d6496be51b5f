// Writes a log event as a server-sent event.
import { type EventBody, eventBodyNamed, fitted, shortError } from '../../contracts/event-body.ts';
import { type EventNames, nameOf, OPENING_NAME, type SessionEvent } from '../../contracts/events.ts';
import { stringifyJson } from '../../contracts/json.ts';

/** Clients that don't buffer lose a frame split over two reads. Up to this size none was lost. */
export const FRAME_BYTES_MAX = 16 * 1024;

/** The delay before a client reconnects, with the id of its last event. */
const RETRY_MS = 1_000;

/** The whole frame is ASCII, so that no client can cut a character in two. */
export const toFrame = (event: SessionEvent, names: EventNames): string =>
  fitted(event, payloadOf(event, names), {
    render: (payload) => render(event, payload, names),
    fits: (frame) => frame.length <= FRAME_BYTES_MAX,
  });

/** Has no id because it isn't an event. A client must not resume from this frame. */
export const toOpeningFrame = (tailSeq: number): string =>
  `retry: ${RETRY_MS}\nevent: ${OPENING_NAME}\ndata: ${asciiJson({ type: OPENING_NAME, tail_seq: tailSeq })}\n\n`;

function payloadOf(event: SessionEvent, names: EventNames): EventBody {
  const payload = eventBodyNamed(event, names);
  if (event.type !== 'error.occurred') return payload;
  const error = shortError(payload.error as { message: string });
  return { ...payload, error, message: error.message };
}

const render = (event: SessionEvent, payload: EventBody, names: EventNames): string =>
  `id: ${event.seq}\nevent: ${nameOf(event.type, names)}\ndata: ${asciiJson(payload)}\n\n`;

const asciiJson = (value: unknown): string =>
  stringifyJson(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
