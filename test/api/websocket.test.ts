// WebSockets on the real system: what a client sends and gets, on one session and on several, and where it goes on.
import { STREAM_NAMES, WEBHOOK_EVENTS } from '../../src/contracts/events.ts';
import type { SseFrame } from '../support/api-client.ts';
import { startReceiver } from '../support/receiver.ts';
import { openSocket, type SocketOptions, type TestSocket } from '../support/socket-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
const opened: TestSocket[] = [];
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(async () => {
  for (const { socket } of opened) socket.terminate();
  await system.stop();
});

const SLOW_ANSWER = '[[tokens=60 token_ms=30]]';
const TOOL = { name: 'look_up', description: 'Looks something up', parameters: { type: 'object' } };

const urlOf = (sessionId: string, query = '') => `${system.url}/v1/sessions/${sessionId}/ws${query}`;

async function connect(sessionId: string, query = '', options: SocketOptions = {}): Promise<TestSocket> {
  const socket = await openSocket(urlOf(sessionId, query), { key: system.adminKey, ...options });
  opened.push(socket);
  return socket;
}

const isOver = ({ type, message }: any) => type === 'message' && message.status === 'completed';
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => n + first);
const seqsOf = (frames: any[]) => frames.map(({ seq }) => seq);
const textOf = (frames: any[]) =>
  frames
    .filter(({ type }) => type === 'content_delta')
    .map(({ text }) => text)
    .join('');
/** The log's events as a WebSocket names them. */
const named = (events: any[]) =>
  events.map((event) => ({ ...event, type: STREAM_NAMES[event.type as keyof typeof STREAM_NAMES] }));

describe('one session', () => {
  it('is told a message, and tells its answer with the names of the guide: the very events of the log', async () => {
    const { id } = await system.api.session();
    const tab = await connect(id);
    expect(tab.handshake['request-id']).toMatch(/^req_\w{24}$/);
    expect(tab.handshake['x-ratelimit-limit']).toBe('1000000');
    tab.send({ type: 'message', content: 'Hello, can you help me with something?', request_id: 'r1' });
    const { message } = await tab.until(isOver);
    const ack = await tab.until(({ type }) => type === 'ack');
    expect(ack).toEqual({ type: 'ack', request_id: 'r1', message_id: message.id });
    expect(tab.frames[0]).toEqual({ type: 'stream.opened', session_id: id, tail_seq: 1 });
    const types = tab.events().map(({ type }) => type);
    expect([...new Set(types)]).toEqual([
      'message.created',
      'content_start',
      'content_delta',
      'content_end',
      'message',
    ]);
    expect(textOf(tab.events())).toBe(message.content);
    expect(tab.events()).toEqual(named((await system.api.events(id)).slice(1)));
  });

  it('begins now, after a seq, or at the start, and gives log names when asked', async () => {
    const { id } = await system.api.session();
    await system.api.send(id, 'Hello');
    const events = await system.api.events(id);
    const tail = events.length;
    const isLast = ({ seq }: any) => seq === tail;
    const [now, later, all, logged] = [
      await connect(id),
      await connect(id, `?after=${tail - 2}`),
      await connect(id, '?after=0'),
      await connect(id, '?after=0&names=log'),
    ];
    for (const socket of [later, all, logged]) await socket.until(isLast);
    expect(seqsOf(later.events())).toEqual([tail - 1, tail]);
    expect(all.events()).toEqual(named(events));
    expect(logged.events()).toEqual(events);
    await now.ask({ type: 'ping' });
    expect(now.events()).toEqual([]);
    expect(now.frames[0].tail_seq).toBe(tail);
  });

  it('gives whole contents, whatever their size', async () => {
    const { id } = await system.api.session();
    const tab = await connect(id);
    const content = `${'x'.repeat(300_000)}é😀 [[tokens=3]]`;
    tab.send({ type: 'message', content });
    const created = await tab.until(({ type }) => type === 'message.created');
    expect(created.message.content).toBe(content);
    expect(created.truncated).toBeUndefined();
  });

  it('gives the rest to a reader that was cut off mid-sentence, without loss or repetition', async () => {
    const { id } = await system.api.session();
    const first = await connect(id, '?after=0');
    first.send({ type: 'message', content: SLOW_ANSWER });
    await first.until(({ type }) => type === 'content_delta');
    first.socket.terminate();
    await first.closed;
    const rest = await connect(id, `?after=${first.events().at(-1).seq}`);
    const { message } = await rest.until(isOver);
    expect(first.events().some(isOver)).toBe(false);
    const all = [...first.events(), ...rest.events()];
    expect(seqsOf(all)).toEqual(upTo(all.length));
    expect(textOf(all)).toBe(message.content);
  });

  it('two tabs, a reader of the stream, a webhook and a reader of pages see the same events in the same order', async () => {
    const { id } = await system.api.session();
    const webhook = await startReceiver();
    const hook = { url: webhook.url, events: ['*'], filter: { session_id: id } };
    expect((await system.api.post('/v1/webhooks', hook)).status).toBe(201);
    const tabs = [await connect(id, '?after=0'), await connect(id, '?after=0')];
    const streamed: SseFrame[] = [];
    const lastSeq = new Promise<number>((resolve) => {
      void tabs[0]!
        .until((frame) => isOver(frame) && frame.message.content.includes('three'))
        .then(({ seq }) => resolve(seq));
    });
    const reader = (async () => {
      for await (const frame of system.api.follow(id, '?after=0')) {
        if (frame.id !== null) streamed.push(frame);
        if (frame.event === 'message.completed' && frame.data.message.content.includes('three')) break;
      }
    })();
    tabs[0]!.send({ type: 'message', content: 'one [[token_ms=5]]' });
    tabs[1]!.send({ type: 'message', content: 'two [[token_ms=5]]' });
    await system.api.send(id, 'three');
    await Promise.all([
      reader,
      ...tabs.map((tab) => lastSeq.then((last) => tab.until(({ seq }) => seq === last))),
    ]);
    const events = (await system.api.events(id)).slice(0, await lastSeq);
    for (const tab of tabs) expect(tab.events()).toEqual(named(events));
    expect(streamed.map(({ data }) => data)).toEqual(events);
    const last = await lastSeq;
    const sent = await webhook.until((all) => all.some(({ event }) => event.seq === last));
    const wanted = events.filter(({ seq, type }) => seq > 1 && WEBHOOK_EVENTS.includes(type));
    expect(sent.map(({ event }) => event)).toEqual(wanted);
    await webhook.stop();
  });

  it('takes the result of a tool, and an interrupt, and names the reply that each is about', async () => {
    const { id } = await system.api.session({ tools: [TOOL] });
    const tab = await connect(id);
    const asked = await tab.ask({ type: 'message', content: 'use tool look_up {"key":"a"}' });
    const { tool_call: call } = await tab.until(({ type }) => type === 'tool_call');
    const given = await tab.ask({ type: 'tool_result', tool_call_id: call.id, result: { found: 7 } });
    expect(given).toMatchObject({ type: 'ack', message_id: asked.message_id });
    const { message } = await tab.until(isOver);
    expect(message.content).toContain('"found":7');
    const late = await tab.ask({ type: 'tool_result', tool_call_id: call.id, result: 'another' });
    expect(late).toMatchObject({ type: 'error', code: 'tool_call_closed' });

    const slow = await tab.ask({ type: 'message', content: '[[tokens=2000 token_ms=20]]' });
    await tab.until(({ type, message_id }) => type === 'content_delta' && message_id === slow.message_id);
    expect(await tab.ask({ type: 'interrupt' })).toMatchObject({ type: 'ack', message_id: slow.message_id });
    const stopped = await tab.until(
      ({ type, message_id }) => type === 'message' && message_id === slow.message_id,
    );
    expect(stopped.message.status).toBe('interrupted');
    expect(await tab.ask({ type: 'interrupt' })).toMatchObject({ type: 'ack', message_id: null });
  });

  it('ends with 4404 when it is deleted, after its last event', async () => {
    const { id } = await system.api.session();
    const tab = await connect(id);
    await system.api.delete(`/v1/sessions/${id}`);
    expect((await tab.closed).code).toBe(4404);
    expect(tab.frames.at(-1)).toMatchObject({ type: 'session.ended', reason: 'deleted' });
  });

  it('is told so also when it had ended before', async () => {
    const { id } = await system.api.session();
    await system.api.post(`/v1/sessions/${id}/complete`);
    const tab = await connect(id);
    await system.api.delete(`/v1/sessions/${id}`);
    expect((await tab.closed).code).toBe(4404);
    const session = { id, status: 'completed', ended_reason: 'completed' };
    expect(tab.frames.at(-1)).toMatchObject({ type: 'session.ended', reason: 'deleted', session });
  });

  it('ends with 1001 when the server stops, and goes on behind its restart where it had got to', async () => {
    const { id } = await system.api.session();
    const tab = await connect(id, '?after=0');
    tab.send({ type: 'message', content: SLOW_ANSWER });
    await tab.until(({ type }) => type === 'content_delta');
    await system.restart();
    expect((await tab.closed).code).toBe(1001);
    const rest = await connect(id, `?after=${tab.events().at(-1).seq}`);
    await rest.until(isOver);
    const all = [...tab.events(), ...rest.events()];
    expect(all).toEqual(named((await system.api.events(id)).slice(0, all.length)));
  });
});

describe('a frame', () => {
  let tab: TestSocket;
  let id: string;
  beforeAll(async () => {
    id = (await system.api.session()).id;
    tab = await connect(id);
  });

  it('`ping` is answered by `pong`', async () => {
    expect(await tab.ask({ type: 'ping' })).toEqual({ type: 'pong', request_id: expect.any(String) });
    tab.send({ type: 'ping' });
    expect(await tab.until(({ type, request_id }) => type === 'pong' && request_id === null)).toEqual({
      type: 'pong',
      request_id: null,
    });
  });

  it.each([
    ['without a type', {}, "The 'type' field is required"],
    ['of an unknown type', { type: 'hello' }, /'type' field must be one of 'message', 'tool_result'/],
    ['whose type is no text', { type: ['message'] }, /'type' field/],
    ['without its content', { type: 'message' }, "The 'content' field is required"],
    ['without its call', { type: 'tool_result' }, "The 'tool_call_id' field is required"],
    ['with a field too much', { type: 'message', content: 'x', contents: 'y' }, "Unknown field 'contents'"],
    ['with a field of another type', { type: 'ping', content: 'x' }, "Unknown field 'content'"],
    [
      'with both of two modes',
      { type: 'message', content: 'x', stream: true, background: true },
      /can't be combined/,
    ],
    [
      'with a cursor that is none',
      { type: 'subscribe', session_id: 'sess_1', after: 'x' },
      /'after' field must be a number/,
    ],
    ['that does not say which session', { type: 'subscribe' }, "The 'session_id' field is required"],
    ['for what is not built yet', { type: 'tool_decision', tool_call_id: 'call_1' }, /not taken/],
    ['with half a surrogate pair', { type: 'message', content: '\ud800' }, /half of a surrogate pair/],
  ])('%s is answered by an error that says so', async (_title, frame, message) => {
    const answer = await tab.ask(frame);
    expect(answer).toEqual({
      type: 'error',
      message: typeof message === 'string' ? message : expect.stringMatching(message),
      code: 'invalid_request',
      request_id: expect.any(String),
    });
  });

  it.each([
    ['no JSON', '{"type":', /not valid JSON/],
    ['no object', '[]', /must be a JSON object/],
    ['nothing', '', /not valid JSON/],
    ['too deep', `{"type":"message","content":${'['.repeat(100)}${']'.repeat(100)}}`, /deeper than 64/],
    ['far too deep', '[['.repeat(200_000), /^The frame is nested deeper than 64/],
    ['far too deep in a field', `{"a":[],"b":{"c":${'['.repeat(200_000)}`, /^The 'b' field is nested deeper/],
    ['a prototype', '{"type":"ping","__proto__":{"x":1}}', /reserved name/],
    ['binary', Buffer.from('{"type":"ping"}'), /binary/],
  ])('that is %s is answered by an error, and the connection stays', async (_title, bytes, message) => {
    const before = tab.frames.length;
    tab.socket.send(bytes);
    await tab.until((frame) => tab.frames.indexOf(frame) >= before && message.test(frame.message ?? ''));
    expect(tab.frames.at(-1)).toMatchObject({ type: 'error', code: 'invalid_request', request_id: null });
    expect(await tab.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
    expect(({} as any).x).toBeUndefined();
  });

  it('is refused by the state of its session as the REST call is', async () => {
    await system.api.post(`/v1/sessions/${id}/complete`);
    expect(await tab.ask({ type: 'message', content: 'Hello' })).toMatchObject({ code: 'session_ended' });
    expect(await tab.ask({ type: 'interrupt' })).toMatchObject({ code: 'session_ended' });
    expect(await tab.ask({ type: 'tool_result', tool_call_id: 'call_1', result: 1 })).toMatchObject({
      code: 'session_ended',
    });
  });
});

describe('several sessions over one connection', () => {
  it('are followed each from its own cursor, spoken to by their ids, and left again', async () => {
    const [one, two] = [await system.api.session(), await system.api.session()];
    await system.api.send(two.id, 'Before');
    const tail = (await system.api.events(two.id)).length;
    const tab = await connect(one.id);
    expect(await tab.ask({ type: 'subscribe', session_id: two.id, after: tail - 1 })).toMatchObject({
      type: 'ack',
    });
    expect(
      await tab.until(({ type, session_id }) => type === 'stream.opened' && session_id === two.id),
    ).toEqual({
      type: 'stream.opened',
      session_id: two.id,
      tail_seq: tail,
    });
    await tab.ask({ type: 'message', content: 'to two', session_id: two.id });
    await tab.ask({ type: 'message', content: 'to one' });
    for (const words of ['to one', 'to two'])
      await tab.until((frame) => isOver(frame) && frame.message.content.includes(words));
    const of = (id: string) => tab.events().filter(({ session_id }) => session_id === id);
    expect(of(one.id)).toEqual(named((await system.api.events(one.id)).slice(1)));
    expect(of(two.id)).toEqual(named((await system.api.events(two.id)).slice(tail - 1)));

    expect(await tab.ask({ type: 'subscribe', session_id: two.id })).toMatchObject({
      code: 'invalid_request',
    });
    await tab.ask({ type: 'unsubscribe', session_id: two.id });
    const seen = of(two.id).length;
    await system.api.send(two.id, 'Unheard');
    await system.api.send(one.id, 'Heard');
    await tab.until((frame) => isOver(frame) && frame.message.content.includes('Heard'));
    expect(of(two.id)).toHaveLength(seen);
    // And again, where it had left off.
    await tab.ask({ type: 'subscribe', session_id: two.id, after: of(two.id).at(-1).seq });
    await tab.until((frame) => isOver(frame) && frame.message.content.includes('Unheard'));
    expect(seqsOf(of(two.id))).toEqual(upTo(of(two.id).at(-1).seq, tail));
  });

  it('end one by one: a deleted one leaves the others as they are', async () => {
    const [one, two] = [await system.api.session(), await system.api.session()];
    const tab = await connect(one.id);
    await tab.ask({ type: 'subscribe', session_id: two.id });
    await system.api.delete(`/v1/sessions/${two.id}`);
    const gone = await tab.until(({ code }) => code === 'not_found');
    expect(gone).toMatchObject({ type: 'error', message: expect.stringContaining(two.id), request_id: null });
    expect(await tab.ask({ type: 'message', content: 'Still there?' })).toMatchObject({ type: 'ack' });
    await tab.until(isOver);
  });

  it('may be a hundred', async () => {
    const sessions = await Promise.all(Array.from({ length: 101 }, () => system.api.session()));
    const tab = await connect(sessions[0].id);
    const answers = [];
    for (const { id } of sessions.slice(1))
      answers.push(await tab.ask({ type: 'subscribe', session_id: id }));
    expect(answers.slice(0, 99).every(({ type }) => type === 'ack')).toBe(true);
    expect(answers[99]).toMatchObject({ type: 'error', message: expect.stringContaining('100 sessions') });
  });

  it.each([
    ['that there is not', () => 'sess_000000000000000000000000', undefined, 'not_found'],
    ['ahead of its log', (id: string) => id, 999, 'invalid_request'],
  ])('are refused one by one: %s', async (_title, idOf, after, code) => {
    const [one, two] = [await system.api.session(), await system.api.session()];
    const tab = await connect(one.id);
    expect(await tab.ask({ type: 'subscribe', session_id: idOf(two.id), after })).toMatchObject({ code });
  });
});
