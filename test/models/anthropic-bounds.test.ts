// A provider that says far more than any model: what it sends is bounded, and nothing of it is trusted.
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import {
  closeAll,
  collect,
  event,
  failureOf,
  MESSAGE_START,
  messageEnd,
  openStream,
  requestOf,
  serve,
  textBlock,
  until,
  whole,
} from './support.ts';

afterEach(closeAll);

const MIB = 1024 * 1024;

/** Writes one piece after the other until its reader goes. @returns how many bytes were taken. */
async function writeForEver(response: ServerResponse, piece: string): Promise<number> {
  let bytes = 0;
  const gone = new Promise<void>((resolve) => response.once('close', () => resolve()));
  while (!response.destroyed) {
    bytes += piece.length;
    if (response.write(piece)) await new Promise(setImmediate);
    else await Promise.race([gone, new Promise((resolve) => response.once('drain', resolve))]);
  }
  return bytes;
}

/** The failure of a call whose answer never ends, and how much of it was taken. */
async function endless(status: number, contentType: string, start: string, piece: string) {
  let taken = 0;
  const { model } = await serve(
    async (response) => {
      response.writeHead(status, { 'content-type': contentType }).write(start);
      taken = await writeForEver(response, piece);
    },
    { silenceTimeoutMs: 10_000 },
  );
  const error = await failureOf(collect(model, requestOf('hello')));
  await until(() => taken > 0);
  return { error, taken };
}

const delta = (text: string) =>
  event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });

test.each([
  ['an error page', 502, 'text/html', '', 'model_unavailable'],
  ['a refusal', 400, 'application/json', '{"error":{"message":"', 'model_invalid_request'],
])('%s without end is not read to its end', async (_name, status, type, start, code) => {
  const { error, taken } = await endless(status, type, start, 'x'.repeat(64 * 1024));
  expect(error).toMatchObject({ code, status });
  expect(error.message.length).toBeLessThan(700);
  expect(taken).toBeLessThan(16 * MIB);
});

test.each([
  ['an answer that is no stream', 'application/json', '{"content":"', 'x'.repeat(64 * 1024)],
  ['an event', 'text/event-stream', 'event: content_block_delta\ndata: "', 'x'.repeat(64 * 1024)],
  ['an event of many lines', 'text/event-stream', 'event: ping\n', `data: ${'x'.repeat(1_000)}\n`.repeat(64)],
])('%s without end is given up, and may be tried again', async (_name, type, start, piece) => {
  const { error, taken } = await endless(200, type, start, piece);
  expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
  expect(error.message).toContain('more than 8388608 bytes of its answer are one piece');
  expect(taken).toBeLessThan(32 * MIB);
});

test('text without end is given up for good, with its cost', async () => {
  const start = MESSAGE_START + event('content_block_start', { index: 0, content_block: { type: 'text' } });
  const { error, taken } = await endless(200, 'text/event-stream', start, delta('word '.repeat(2_000)));
  expect(error).toMatchObject({ code: 'model_unavailable', retryable: false, usage: { inputTokens: 11 } });
  expect(error.message).toContain('longer than 4194304 characters');
  expect(taken).toBeLessThan(32 * MIB);
});

test('blocks without end are given up', async () => {
  let index = 0;
  const { model } = await serve(
    async (response) => {
      openStream(response).write(MESSAGE_START);
      while (!response.destroyed) {
        const content_block = { type: 'dream', of: 'x'.repeat(100_000) };
        response.write(event('content_block_start', { index: index++, content_block }));
        await new Promise(setImmediate);
      }
    },
    { silenceTimeoutMs: 10_000 },
  );
  expect(await failureOf(collect(model, requestOf('hello')))).toMatchObject({ retryable: false });
  expect(index).toBeLessThan(200);
});

test('a long answer of many events is no piece too long', async () => {
  const text = 'word '.repeat(1_000);
  const { model } = await serve(
    async (response) => {
      openStream(response).write(
        MESSAGE_START + event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      );
      for (let at = 0; at < 400; at += 1) {
        // The end of an event falls between two packets, and the stream as a whole is longer than one piece may be.
        const bytes = delta(text) + event('ping').repeat(500);
        response.write(bytes.slice(0, -1));
        await new Promise(setImmediate);
        response.write(bytes.slice(-1));
      }
      response.end(event('content_block_stop', { index: 0 }) + messageEnd());
    },
    { silenceTimeoutMs: 10_000 },
  );
  expect((await collect(model, requestOf('hello'))).pieces.join('')).toBe(text.repeat(400));
});

test('nothing compressed is asked for, and nothing compressed is taken', async () => {
  const { model, server } = await serve((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
    response.end(gzipSync(whole(textBlock(0, 'a bomb'))));
  });
  const error = await failureOf(collect(model, requestOf('hello')));
  expect(error.message).toContain('its answer is compressed (gzip)');
  expect(server.requests[0]?.headers['accept-encoding']).toBe('identity');
});

test('an answer that is no stream says what it was', async () => {
  const { model } = await serve((response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[]}');
  });
  const error = await failureOf(collect(model, requestOf('hello')));
  expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
  expect(error.message).toContain('sent as application/json');
});

test('events are read whatever they are called', async () => {
  const { model } = await serve((response) => {
    response.writeHead(200, { 'content-type': 'text/plain' }).end(whole(textBlock(0, 'plain')));
  });
  expect((await collect(model, requestOf('hello'))).pieces).toEqual(['plain']);
});

test('what could not be stored is refused or left out', async () => {
  const start = event('message_start', {
    message: { model: `\0evil\ud800${'x'.repeat(1_000)}`, usage: { input_tokens: 9e15, output_tokens: 3 } },
  });
  const { model } = await serve(
    (response) => void openStream(response).end(start + textBlock(0, 'x') + messageEnd('\0stop')),
  );
  const { reply } = await collect(model, requestOf('hello'));
  expect(reply.model).toMatch(/^evil\ufffdx{50}/);
  expect(reply.model.length).toBeLessThanOrEqual(200);
  expect(reply).toMatchObject({ stopReason: 'stop', usage: { inputTokens: 0, outputTokens: 42 } });
});

test('a block nested so deep that nobody could write it down is given up for good', async () => {
  const deep = `{"type":"content_block_start","index":0,"content_block":{"type":"dream","of":${'['.repeat(20_000)}${']'.repeat(20_000)}}}`;
  const wire = `${MESSAGE_START}event: content_block_start\ndata: ${deep}\n\n${messageEnd()}`;
  const { model } = await serve((response) => void openStream(response).end(wire));
  const error = await failureOf(collect(model, requestOf('hello')));
  expect(error).toMatchObject({ retryable: false });
  expect(error.message).toContain('nested deeper than 64');
});

test('a refusal in unprintable words is told in printable ones', async () => {
  const { model } = await serve((response) => {
    const body = JSON.stringify({ type: 'error', error: { type: 'x', message: 'no\0pe \ud800' } });
    response.writeHead(400, { 'content-type': 'application/json' }).end(body);
  });
  expect((await failureOf(collect(model, requestOf('hello')))).message).toContain('nope \ufffd');
});
