// Reads a response body as events of the Messages API. Gateways send server-sent events with or without names, or the whole
// message as JSON.

import { APIError } from '@anthropic-ai/sdk';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { parseJson, stringifyJson } from '../contracts/json.ts';
import { EVENT_BYTES_MAX, tooLong } from './bounded-answers.ts';
import { BLOCK_DEPTH_MAX } from './reply-limits.ts';
import { isDeeperThan } from './safe-text.ts';
import { isRecord } from './tool-input.ts';

/** The end marker of OpenAI's streams. Gateways append the marker to other streams too. */
const DONE = '[DONE]';

/** Events that must be JSON objects. */
const PROTOCOL_EVENTS = new Set<string | undefined>([
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block_stop',
  'message_delta',
  'message_stop',
]);

/** Events with their type in the data, which must be JSON. JSON without a type is ignored. Other events may hold anything. */
const UNNAMED_EVENTS = new Set<string | undefined>([undefined, 'message']);

/** Bounds an error inside a stream. Far more than any message shows. */
const ERROR_CHARS_MAX = 64 * 1024;

/**
 * Decides by the beginning of the body, because gateways send wrong content types.
 * @throws {APIError} for an error reported in the body
 * @throws {SyntaxError} for an event that is not JSON
 */
export async function* readEvents({ body, headers }: Response): AsyncGenerator<unknown> {
  if (body === null) return;
  const texts = body.pipeThrough(new TextDecoderStream()).values();
  const first = await firstText(texts);
  if (first.startsWith('{')) yield* eventsOf(await joined(first, texts), headers);
  else yield* streamed(first, texts, headers);
}

/** @returns '' for a blank body. */
async function firstText(texts: AsyncIterator<string>): Promise<string> {
  for (;;) {
    const next = await texts.next();
    const text = next.done ? '' : next.value.trimStart();
    if (next.done || text !== '') return text;
  }
}

/** A complete message counts, even if the connection fails afterwards. */
async function joined(first: string, texts: AsyncIterable<string>): Promise<string> {
  const parts = [first];
  let length = first.length;
  try {
    for await (const text of texts) {
      parts.push(text);
      length += text.length;
      if (length > EVENT_BYTES_MAX) throw tooLong(EVENT_BYTES_MAX);
    }
  } catch (error) {
    if (!isJson(parts.join(''))) throw error;
  }
  return parts.join('');
}

function isJson(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}

/** Converts a whole message to the events of its stream. */
function* eventsOf(json: string, headers: Headers): Generator<unknown> {
  const message = readEvent({ data: json }, headers);
  if (!isRecord(message) || message.type !== 'message') return yield message;
  yield { type: 'message_start', message };
  yield { type: 'message_stop' };
}

async function* streamed(
  first: string,
  texts: AsyncIterable<string>,
  headers: Headers,
): AsyncGenerator<unknown> {
  let parsed: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => parsed.push(event) });
  function* feed(text: string): Generator<unknown> {
    parser.feed(text);
    const events = parsed;
    parsed = [];
    for (const each of events) {
      const event = readEvent(each, headers);
      if (event !== null) yield event;
    }
  }
  yield* feed(first);
  for await (const text of texts) yield* feed(text);
  // The last event may lack its blank line.
  yield* feed('\n\n');
}

/** @returns null for an event without content. */
function readEvent({ event, data }: Pick<EventSourceMessage, 'event' | 'data'>, headers: Headers): unknown {
  if (data.trim() === '' || data.trim() === DONE || event === 'ping') return null;
  const value = parsedEvent(event, data);
  const type = isRecord(value) && typeof value.type === 'string' ? value.type : event;
  if (event === 'error' || type === 'error' || (type === undefined && isRecord(value) && value.error)) {
    throw toldError(value ?? data, headers);
  }
  if (isRecord(value)) return { ...value, type };
  return PROTOCOL_EVENTS.has(event) ? value : null;
}

function parsedEvent(event: string | undefined, data: string): unknown {
  try {
    return parseJson(data);
  } catch (error) {
    if (PROTOCOL_EVENTS.has(event) || UNNAMED_EVENTS.has(event)) throw error;
    return null;
  }
}

const jsonOf = (value: unknown): string =>
  isDeeperThan(value, BLOCK_DEPTH_MAX)
    ? `(nested deeper than ${BLOCK_DEPTH_MAX})`
    : (stringifyJson(value) ?? '');

/** The status or name that some gateways put beside the message. */
const notesOf = ({ __type, code, status }: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries({ __type, code, status }).filter(([, note]) => ['string', 'number'].includes(typeof note)),
  );

/** Converts the error to the API's own shape. Some gateways send plain text instead. */
function toldError(body: unknown, headers: Headers): APIError {
  const inner = isRecord(body) ? (body.error ?? body) : body;
  const { type, message } = isRecord(inner) ? inner : { type: undefined, message: inner };
  const error = {
    ...(isRecord(inner) && notesOf(inner)),
    type: typeof type === 'string' ? type.slice(0, ERROR_CHARS_MAX) : 'error',
    message: (typeof message === 'string' ? message : jsonOf(inner)).slice(0, ERROR_CHARS_MAX),
  };
  return new APIError(undefined, { type: 'error', error }, undefined, headers);
}
