// Writes a reply to the socket: as one JSON object or as paced server-sent events, with the requested faults.

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringifyJson } from '../../contracts/json.ts';
import { type Answer, toWords } from './compose.ts';
import { createId } from './ids.ts';
import { type Fault, faultOf, type Markers } from './markers.ts';
import type { InputTokens } from './prompt-cache.ts';
import type { WireBlock } from './wire-message.ts';

export interface Delivery {
  model: string;
  answer: Answer;
  input: InputTokens;
  markers: Markers;
  tokenMs: number;
  /** Aborted when the client disconnects. */
  signal: AbortSignal;
}

type Fields = Record<string, unknown>;

/** The real API pings about this often while a model thinks. */
const PING_EVERY_MS = 1_000;
/** Claude sends inputs in pieces of about this size. */
const JSON_PIECE_CHARS = 16;

const ERROR_TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Fields = {},
): void {
  const text = stringifyJson(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'request-id': createId('req'),
    ...(headers as Record<string, string>),
  });
  response.end(text);
}

export function sendError(
  response: ServerResponse,
  status: number,
  message: string,
  headers: Fields = {},
): void {
  const type = ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
  const body = { type: 'error', error: { type, message }, request_id: createId('req') };
  sendJson(response, status, body, { ...headers, 'request-id': body.request_id });
}

export async function sendWhole(response: ServerResponse, delivery: Delivery): Promise<void> {
  const { answer, markers, input } = delivery;
  const deltas = answer.blocks.flatMap(toDeltas).length;
  await sleep(markers.delayMs + deltas * delivery.tokenMs, undefined, { signal: delivery.signal });
  const fault = faultOf(markers);
  if (fault !== null) return await breakWhole(response, fault.kind, delivery.signal);
  const usage = usageOf(input, answer.outputTokens);
  sendJson(response, 200, {
    ...messageOf(delivery),
    content: answer.blocks,
    stop_reason: answer.stopReason,
    usage,
  });
}

export async function sendStream(response: ServerResponse, delivery: Delivery): Promise<void> {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'request-id': createId('req'),
  });
  const { answer, input, markers, signal } = delivery;
  sendEvent(response, 'message_start', {
    message: { ...messageOf(delivery), content: [], usage: usageOf(input, 1) },
  });
  sendEvent(response, 'ping', {});
  await waitWithPings(response, markers.delayMs, signal);
  if (await sendBlocks(response, delivery)) return;
  const usage = { output_tokens: answer.outputTokens };
  sendEvent(response, 'message_delta', {
    delta: { stop_reason: answer.stopReason, stop_sequence: null },
    usage,
  });
  sendEvent(response, 'message_stop', {});
  response.end();
}

/** @returns true if a fault ended the stream. A fault beyond the last delta comes before `message_stop`. */
async function sendBlocks(response: ServerResponse, delivery: Delivery): Promise<boolean> {
  const fault = faultOf(delivery.markers);
  const startedAt = performance.now();
  let sent = 0;
  for (const [index, block] of delivery.answer.blocks.entries()) {
    sendEvent(response, 'content_block_start', { index, content_block: toStart(block) });
    for (const delta of toDeltas(block)) {
      if (fault !== null && sent >= fault.after)
        return await breakStream(response, fault.kind, delivery.signal);
      await keepPace(response, startedAt + sent * delivery.tokenMs, delivery.signal);
      sendEvent(response, 'content_block_delta', { index, delta });
      sent += 1;
    }
    sendEvent(response, 'content_block_stop', { index });
  }
  return fault !== null && (await breakStream(response, fault.kind, delivery.signal));
}

/** Paces by the clock instead of a pause per word, so that a busy machine doesn't slow a stream down. */
async function keepPace(response: ServerResponse, dueAt: number, signal: AbortSignal): Promise<void> {
  const wait = dueAt - performance.now();
  if (wait >= 1) await sleep(wait, undefined, { signal });
  if (response.writableNeedDrain) await once(response, 'drain', { signal });
  signal.throwIfAborted();
}

async function waitWithPings(response: ServerResponse, delayMs: number, signal: AbortSignal): Promise<void> {
  for (let left = delayMs; left > 0; left -= PING_EVERY_MS) {
    await sleep(Math.min(left, PING_EVERY_MS), undefined, { signal });
    if (left > PING_EVERY_MS) sendEvent(response, 'ping', {});
  }
}

async function breakStream(response: ServerResponse, kind: Fault, signal: AbortSignal): Promise<true> {
  if (kind === 'silent') await untilGone(signal);
  if (kind === 'cut') await flushThenDestroy(response);
  if (kind === 'malformed') {
    response.end(
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_de\n\n',
    );
  }
  if (kind === 'error') {
    sendEvent(response, 'error', { error: { type: 'overloaded_error', message: 'Overloaded' } });
    response.end();
  }
  return true;
}

async function breakWhole(response: ServerResponse, kind: Fault, signal: AbortSignal): Promise<void> {
  if (kind === 'silent') await untilGone(signal);
  if (kind === 'cut') response.destroy();
  if (kind === 'error') sendError(response, 529, 'Overloaded');
  if (kind === 'malformed')
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"msg_');
}

/** Everything written so far has to arrive. Only the rest is lost. */
async function flushThenDestroy(response: ServerResponse): Promise<void> {
  await new Promise((resolve) => response.write(': cut\n\n', resolve));
  response.destroy();
}

async function untilGone(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}

function sendEvent(response: ServerResponse, type: string, fields: Fields): void {
  response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
}

function messageOf({ model }: Delivery): Fields {
  return {
    id: createId('msg'),
    type: 'message',
    role: 'assistant',
    model,
    stop_reason: null,
    stop_sequence: null,
  };
}

function usageOf(input: InputTokens, outputTokens: number): Fields {
  return { ...input, output_tokens: outputTokens, service_tier: 'standard' };
}

function toStart(block: WireBlock): WireBlock {
  if (block.type === 'text') return { ...block, text: '' };
  if (block.type === 'thinking') return { ...block, thinking: '', signature: '' };
  return { ...block, input: {} };
}

function toDeltas(block: WireBlock): Fields[] {
  if (block.type === 'text') return toWords(String(block.text)).map((text) => ({ type: 'text_delta', text }));
  if (block.type === 'thinking') {
    return [
      ...toWords(String(block.thinking)).map((thinking) => ({ type: 'thinking_delta', thinking })),
      { type: 'signature_delta', signature: block.signature },
    ];
  }
  const pieces = stringifyJson(block.input).match(new RegExp(`.{1,${JSON_PIECE_CHARS}}`, 'gsu')) ?? [];
  return pieces.map((partial_json) => ({ type: 'input_json_delta', partial_json }));
}
