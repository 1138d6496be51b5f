// GET /v1/sessions/:id/events as a stream, on the real system: from any cursor, live, and after whatever ended it.
import type { SseFrame } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(() => system.stop());

const SLOW_ANSWER = '[[tokens=60 token_ms=30]]';
const ACCEPT = { Accept: 'text/event-stream' };

interface ReadOptions {
  query?: string;
  headers?: Record<string, string>;
  /** Leaves after this frame; without it reads until the server ends the stream. */
  until?: (frame: SseFrame) => boolean;
}

async function readStream(sessionId: string, { query = '', headers = {}, until }: ReadOptions) {
  const frames: SseFrame[] = [];
  for await (const frame of system.api.follow(sessionId, query, headers)) {
    frames.push(frame);
    if (until?.(frame)) break;
  }
  return frames;
}

const seqsOf = (frames: SseFrame[]) => frames.map(({ id }) => id).filter((id) => id !== null);
const isDone = ({ event }: SseFrame) => event === 'message.completed';
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, n) => n + first);

it('says first where the log ends, and then gives the very events of the pages, with the names of the log', async () => {
  const { id } = await system.api.session();
  await system.api.send(id, 'Hello');
  const events = await system.api.events(id);
  const frames = await readStream(id, { query: '?after=0', until: (frame) => frame.id === events.length });
  expect(frames[0]).toEqual({
    id: null,
    event: 'stream.opened',
    data: { type: 'stream.opened', tail_seq: events.length },
  });
  expect(frames.slice(1).map(({ data }) => data)).toEqual(events);
  expect(frames.slice(1).map(({ event }) => event)).toEqual(events.map(({ type }) => type));
});

it('begins now when no cursor is given, and follows what comes', async () => {
  const { id } = await system.api.session();
  await system.api.send(id, 'Hello');
  const tail = (await system.api.events(id)).length;
  let sent: Promise<unknown> | undefined;
  const frames = await readStream(id, {
    until(frame) {
      sent ??= system.api.send(id, 'Again');
      return isDone(frame);
    },
  });
  await sent;
  expect(frames[0]?.data.tail_seq).toBe(tail);
  const seqs = seqsOf(frames);
  expect(seqs).toEqual(upTo(seqs.at(-1) ?? 0, tail + 1));
});

it('two tabs and a reader of pages see the same events in the same order, while three messages are answered', async () => {
  const { id } = await system.api.session();
  const untilThird = () => {
    let seen = 0;
    return (frame: SseFrame) => {
      seen += isDone(frame) ? 1 : 0;
      return seen === 3;
    };
  };
  const tabs = [readStream(id, { query: '?after=0', until: untilThird() })];
  await system.api.send(id, '[[tokens=30 token_ms=10]]');
  // Opened in the midst of it: the first part comes from the log, the rest as it is written.
  tabs.push(readStream(id, { query: '?after=0', until: untilThird() }));
  for (const content of ['[[tokens=30 token_ms=10]]', 'three']) await system.api.send(id, content);
  const [one, two] = await Promise.all(tabs);
  const events = await system.api.events(id);
  const seen = (frames: SseFrame[]) => frames.slice(1).map(({ data }) => data);
  expect(seen(one!)).toEqual(events.slice(0, seen(one!).length));
  expect(seen(two!)).toEqual(seen(one!));
});

it('gives the rest to a reader that stopped mid-sentence, without loss or repetition', async () => {
  const { id } = await system.api.session();
  const sent = system.api.send(id, SLOW_ANSWER);
  const isDelta = ({ event }: SseFrame) => event === 'message.delta';
  const first = await readStream(id, { query: '?after=0', until: isDelta });
  // As a browser does: the URL of the first try, with the id of the last event that it has.
  const headers = { 'Last-Event-ID': String(first.at(-1)?.id) };
  const rest = await readStream(id, { query: '?after=0', headers, until: isDone });
  expect(isDone(first.at(-1)!)).toBe(false);
  const all = [...first, ...rest];
  expect(seqsOf(all)).toEqual(upTo(rest.at(-1)?.id ?? 0));
  const text = all.filter(isDelta).map(({ data }) => data.text);
  expect(text.join('')).toBe((await sent).content);
});

it('ends when the server stops, and goes on behind its restart where it had got to', async () => {
  const { id } = await system.api.session();
  const accepted = await system.api.post(`/v1/sessions/${id}/messages`, {
    content: SLOW_ANSWER,
    background: true,
  });
  expect(accepted.status).toBe(202);
  let restarted: Promise<void> | undefined;
  const first = await readStream(id, {
    query: '?after=0',
    until(frame) {
      if (frame.event === 'message.delta') restarted ??= system.restart();
      return false;
    },
  });
  expect(restarted).toBeDefined();
  await restarted;
  expect(first.some(isDone)).toBe(false);
  const rest = await readStream(id, {
    headers: { 'Last-Event-ID': String(first.at(-1)?.id) },
    until: isDone,
  });
  expect(seqsOf([...first, ...rest])).toEqual(upTo(rest.at(-1)?.id ?? 0));
  const events = await system.api.events(id);
  expect([...first, ...rest].filter(({ id: seq }) => seq !== null).map(({ data }) => data)).toEqual(
    events.slice(0, rest.at(-1)?.id ?? 0),
  );
});

it('filters by type and message, and a narrow filter follows as well', async () => {
  const { id } = await system.api.session();
  const one = await system.api.send(id, 'one');
  const query = '?after=0&types=message.created,message.completed';
  let sent: Promise<any> | undefined;
  const frames = await readStream(id, {
    query,
    until(frame) {
      if (isDone(frame)) sent ??= system.api.send(id, 'two');
      return isDone(frame) && frame.data.message_id !== one.id;
    },
  });
  expect(frames.map(({ event }) => event)).toEqual([
    'stream.opened',
    ...['message.created', 'message.created', 'message.completed'],
    ...['message.created', 'message.created', 'message.completed'],
  ]);
  const ofTwo = await readStream(id, { query: `${query}&message_id=${(await sent).id}`, until: isDone });
  expect(ofTwo.slice(1).map(({ data }) => data.message_id)).toEqual([(await sent).id, (await sent).id]);
});

it('ends when the session is deleted', async () => {
  const { id } = await system.api.session();
  let deleted: Promise<unknown> | undefined;
  const frames = await readStream(id, {
    until() {
      deleted ??= system.api.delete(`/v1/sessions/${id}`);
      return false;
    },
  });
  await deleted;
  expect(frames.at(-1)).toMatchObject({ event: 'session.ended', data: { reason: 'deleted' } });
});

describe('a cursor that is wrong', () => {
  it.each([
    ['ahead of the log', '?after=999', {}, 'after'],
    ['not a number', '?after=x', {}, 'after'],
    ['no seq, in the header', '', { 'Last-Event-ID': 'evt_1' }, 'Last-Event-ID'],
    ['ahead of the log, in the header', '', { 'Last-Event-ID': '999' }, 'after'],
    ["a page's", '?cursor=x', {}, 'cursor'],
  ])('is refused by name: %s', async (_title, query, headers, param) => {
    const { id } = await system.api.session();
    const { status, body } = await system.api.get(`/v1/sessions/${id}/events${query}`, {
      ...ACCEPT,
      ...headers,
    });
    expect([status, body.error.code, body.error.param]).toEqual([400, 'invalid_request', param]);
  });
});

it("does not exist for another account, whose answer is JSON, and a page's reader need not know of it", async () => {
  const { id } = await system.api.session();
  const other = await system.as('other', 'admin');
  const { status, body } = await other.get(`/v1/sessions/${id}/events`, ACCEPT);
  expect([status, body.error.code]).toEqual([404, 'not_found']);
  for (const accept of ['*/*', 'application/json', 'application/json, text/event-stream;q=0.5'])
    expect((await system.api.get(`/v1/sessions/${id}/events`, { Accept: accept })).body.data).toHaveLength(1);
});
