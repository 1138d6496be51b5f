// Streams: frames that any reader can take, and ends that tell the truth.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ApiError } from '../../src/contracts/errors.ts';
import type { SessionEvent } from '../../src/contracts/events.ts';
import { FRAME_BYTES_MAX, toFrame } from '../../src/http/streams/frame.ts';
import { addSession, iterate } from './support/fake-services.ts';
import { makeEvent, makeMessage, makeSession, replyEvents } from './support/fixtures.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
let sessionId: string;
beforeAll(async () => {
  app = await startHarness();
  sessionId = addSession(app).id;
});
afterAll(() => app.close());
afterEach(() => {
  app.script.events = null;
});

const path = () => `/v1/sessions/${sessionId}/messages`;
const startStream = (headers: Record<string, string> = {}) =>
  app.fetch('POST', path(), { body: { content: 'go', stream: true }, headers });

/** Waits for the abort of the signal, as a follow without news does. */
const aborted = (signal: AbortSignal) =>
  signal.aborted
    ? Promise.resolve()
    : new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

const toStreamFrame = (event: SessionEvent) => toFrame(event, 'stream');

const dataOf = (frame: string) => JSON.parse(/^data: (.*)$/m.exec(frame)?.[1] ?? 'null');

describe('the guide reader on an answer of 1,000 events', () => {
  const pieces = Array.from({ length: 1_000 }, (_, index) => `Wört ${index} 🙂 `);
  const readElsewhere = async (pauseMs: number) => {
    const reader = join(__dirname, 'support/guide-reader.mjs');
    const body = JSON.stringify({ content: 'go', stream: true });
    const { stdout } = await promisify(execFile)(process.execPath, [
      reader,
      app.url + path(),
      body,
      String(pauseMs),
    ]);
    return JSON.parse(stdout);
  };

  it.each([0, 5])('loses nothing when it pauses %i ms after each read', async (pauseMs) => {
    app.script.events = () => iterate(replyEvents(pieces, makeMessage({ session_id: sessionId })));
    expect(await readElsewhere(pauseMs)).toMatchObject({ failures: 0, text: pieces.join('') });
  });
});

describe('a stream', () => {
  it('has the headers of a stream and of every answer, and a frame per event', async () => {
    const response = await startStream({ 'idempotency-key': 'stream-1' });
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      location: expect.stringMatching(new RegExp(`^${path()}/msg_`)),
      'request-id': expect.stringMatching(/^req_/),
      'x-ratelimit-limit': '100000',
      'x-ratelimit-remaining': expect.stringMatching(/^\d+$/),
      'x-ratelimit-reset': expect.stringMatching(/^\d+$/),
    });
    const frames = (await response.text()).split('\n\n');
    expect(frames.pop()).toBe('');
    expect(frames.map((frame) => frame.split('\n').map((line) => line.split(':')[0]))).toEqual(
      frames.map(() => ['id', 'event', 'data']),
    );
    expect(frames.map((frame) => dataOf(frame).type)).toEqual([
      'content_start',
      'content_delta',
      'content_delta',
      'content_delta',
      'content_end',
      'message',
    ]);
    expect(frames[1]).toMatch(/^id: 2\nevent: content_delta\ndata: \{"id":"evt_/);
  });

  it('begins again for a retry with the same key, and says so', async () => {
    const first = await startStream({ 'idempotency-key': 'stream-2' });
    const again = await startStream({ 'idempotency-key': 'stream-2' });
    expect([first, again].map(({ headers }) => headers.get('idempotent-replayed'))).toEqual([null, 'true']);
    expect(dataOf((await again.text()).split('\n\n')[0] as string)).toMatchObject({ seq: 1 });
    await first.text();
  });

  it('fails as plain JSON before its first frame', async () => {
    const { id } = addSession(app, { status: 'completed' });
    const body = { content: 'go', stream: true };
    expectError(await app.call('POST', `/v1/sessions/${id}/messages`, { body }), 404, 'session_ended');
    const accept = app.services.messages.accept;
    app.services.messages.accept = () => Promise.reject(new ApiError('unavailable', 'Temporal is away'));
    expectError(await app.call('POST', path(), { body }), 503, 'unavailable');
    app.services.messages.accept = accept;
  });

  it('answers the headers as soon as the message is accepted', async () => {
    let goOn = () => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    app.script.events = async function* () {
      await gate;
      yield* replyEvents(['late'], makeMessage({ session_id: sessionId }));
    };
    const response = await startStream();
    expect(response.status).toBe(200);
    goOn();
    expect(await response.text()).toContain('"text":"late"');
  });

  const streams = [
    ['the answer to a POST', () => startStream()],
    [
      'the feed of a session',
      () =>
        app.fetch('GET', `/v1/sessions/${sessionId}/events`, { headers: { accept: 'text/event-stream' } }),
    ],
  ] as const;

  it.each(streams)('sends a comment each 15 seconds while nothing happens: %s', async (_name, start) => {
    jest.useFakeTimers({
      doNotFake: ['nextTick', 'setImmediate', 'setTimeout', 'performance', 'queueMicrotask', 'Date'],
    });
    try {
      // biome-ignore lint/correctness/useYield: a feed in which nothing happens
      app.script.events = async function* (signal) {
        await aborted(signal);
      };
      const reader = (await start()).body?.getReader();
      const decoder = new TextDecoder();
      let text = '';
      const readOn = async () => {
        text += decoder.decode((await reader?.read())?.value);
      };
      if (start !== streams[0][1]) await readOn();
      for (let comments = 0; comments < 3; comments++) {
        const before = text.length;
        const read = readOn();
        await jest.advanceTimersByTimeAsync(14_999);
        expect(text).toHaveLength(before);
        await jest.advanceTimersByTimeAsync(1);
        await read;
      }
      expect(text.replace(/^retry: .*\nevent: stream.opened\ndata: .*\n\n/, '')).toBe(': \n\n: \n\n: \n\n');
      await reader?.cancel();
    } finally {
      jest.useRealTimers();
    }
  });

  it('stops following, and nothing else, when the client is gone', async () => {
    const seen: { signal?: AbortSignal } = {};
    app.script.events = async function* (signal) {
      seen.signal = signal;
      yield makeEvent({ type: 'message.content_started', data: { step: 1 } });
      await aborted(signal);
    };
    const reader = (await startStream()).body?.getReader();
    await reader?.read();
    expect(seen.signal?.aborted).toBe(false);
    await reader?.cancel();
    await aborted(seen.signal as AbortSignal);
    expect(app.logs.filter((line) => line.level === 50)).toEqual([]);
  });

  it('holds no more than a little for a client that does not read', async () => {
    let sent = 0;
    app.script.events = async function* (signal) {
      const text = 'x'.repeat(2_000);
      for (; !signal.aborted && sent < 20_000; sent++)
        yield makeEvent({ type: 'message.delta', data: { step: 1, text } });
    };
    const body = JSON.stringify({ content: 'go', stream: true });
    const socket = connect(app.http.port, '127.0.0.1');
    socket.write(
      `POST ${path()} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await once(socket, 'readable');
    // The kernels take some megabytes; then the count stands still.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(sent).toBeLessThan(20_000);
    socket.destroy();
  });

  it('breaks off, and does not end well, when following fails', async () => {
    app.script.events = async function* () {
      yield makeEvent({ type: 'message.content_started', data: { step: 1 } });
      throw new Error('store is gone');
    };
    const response = await startStream();
    await expect(response.text()).rejects.toThrow();
    expect(app.logs.some((line) => line.msg === 'request failed')).toBe(true);
  });
});

describe('a frame', () => {
  const message = (content: string) =>
    makeMessage({ content, content_blocks: [{ type: 'text', text: content }] });

  it('is one line of ASCII whatever the text', () => {
    const text = 'Zeile 1\nZeile 2\r\n\u2028🙂\u0007ö"\\';
    const frame = toStreamFrame(makeEvent({ seq: 7, type: 'message.delta', data: { step: 1, text } }));
    expect(frame).toMatch(/^id: 7\nevent: content_delta\ndata: [\x20-\x7e]+\n\n$/);
    expect(dataOf(frame).text).toBe(text);
  });

  it('keeps the longest delta in every script below 16 KiB', () => {
    for (const unit of ['\u0001', 'ö', '漢', '"']) {
      const data = { step: 1, text: unit.repeat(2_000) };
      expect(toStreamFrame(makeEvent({ type: 'message.delta', data })).length).toBeLessThanOrEqual(
        FRAME_BYTES_MAX,
      );
    }
  });

  it('leaves the long fields of a big message out and says where the whole is', () => {
    const big = message('漢'.repeat(350_000));
    const frame = toStreamFrame(
      makeEvent({
        type: 'message.completed',
        session_id: big.session_id,
        message_id: big.id,
        data: { message: big },
      }),
    );
    expect(frame.length).toBeLessThanOrEqual(FRAME_BYTES_MAX);
    expect(dataOf(frame)).toMatchObject({
      type: 'message',
      truncated: true,
      url: `/v1/sessions/${big.session_id}/messages/${big.id}`,
      message: { id: big.id, content: null, content_blocks: null, tool_calls: null, status: 'completed' },
    });
  });

  it('keeps a session with all metadata that is allowed below 16 KiB', () => {
    const metadata = Object.fromEntries(
      Array.from({ length: 50 }, (_, i) => [`${i}`.padEnd(64, '漢'), '漢'.repeat(512)]),
    );
    const session = makeSession({ metadata });
    const event = makeEvent({
      type: 'session.updated',
      session_id: session.id,
      message_id: null,
      data: { session },
    });
    const frame = toStreamFrame(event);
    expect(frame.length).toBeLessThanOrEqual(FRAME_BYTES_MAX);
    expect(dataOf(frame)).toMatchObject({ truncated: true, url: `/v1/sessions/${session.id}` });
    expect(dataOf(frame).session).not.toHaveProperty('messages');
  });

  it('gives an error its message as text at the top', () => {
    const error = { code: 'model_overloaded', message: 'Busy', param: null, type: 'api_error' };
    expect(dataOf(toStreamFrame(makeEvent({ type: 'error.occurred', data: { error } })))).toMatchObject({
      type: 'error',
      message: 'Busy',
      code: 'model_overloaded',
      error,
    });
  });

  it('shows only what the contract names', () => {
    const event: SessionEvent = makeEvent({
      type: 'message.content_started',
      data: { step: 1, secret: 'x' },
    });
    expect(toStreamFrame(event)).not.toContain('secret');
  });
});
