// GET /v1/sessions/:id/events as a stream, on the real system: from any cursor, live, and after whatever ended it.
import { createApiClient, type SseFrame } from '../support/api-client.ts';
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

describe('names', () => {
  const NAMES = ['content_start', 'content_delta', 'content_end', 'message'];
  let id: string;
  let reply: any;
  beforeAll(async () => {
    ({ id } = await system.api.session());
    reply = await system.api.send(id, 'Hello');
  });

  it('names=stream gives the feed those of the stream of a POST, in the same order and with the same contents', async () => {
    const query = `?after=0&names=stream&message_id=${reply.id}`;
    const frames = await readStream(id, { query, until: ({ event }) => event === 'message' });
    const events = (await system.api.events(id)).filter(({ message_id }) => message_id === reply.id);
    expect(frames[0]).toMatchObject({ id: null, event: 'stream.opened' });
    expect(frames.slice(1).map(({ id: seq, data }) => [seq, { ...data, type: null }])).toEqual(
      events.map((event) => [event.seq, { ...event, type: null }]),
    );
    const names = frames.slice(1).map(({ event }) => event);
    expect(names).toEqual(frames.slice(1).map(({ data }) => data.type));
    expect([...new Set(names)]).toEqual(['message.created', ...NAMES]);
  });

  it('names=stream renames on pages, too; names=log is how they are anyway', async () => {
    const page = async (query: string) =>
      (await system.api.get(`/v1/sessions/${id}/events?message_id=${reply.id}${query}`)).body.data;
    const typesOf = (events: any[]) => [...new Set(events.map(({ type }) => type))];
    expect(typesOf(await page('&names=stream'))).toEqual(['message.created', ...NAMES]);
    expect(await page('&names=log')).toEqual(await page(''));
  });

  it('names=log gives the stream of a POST those of the log', async () => {
    const { body } = await system.api.post(`/v1/sessions/${id}/messages?names=log`, {
      content: 'Again',
      stream: true,
    });
    expect(body.map(({ event }: SseFrame) => event).slice(0, 3)).toEqual([
      'message.created',
      'message.content_started',
      'message.delta',
    ]);
    expect(body.at(-1)).toMatchObject({ event: 'message.completed', data: { type: 'message.completed' } });
  });

  it.each([
    ['GET', 'events', undefined],
    ['POST', 'messages', { content: 'go' }],
  ])('any others are refused by name: %s %s', async (method, path, body) => {
    const answer = await system.api.call(method, `/v1/sessions/${id}/${path}?names=guide`, body);
    expect([answer.status, answer.body.error.param]).toEqual([400, 'names']);
  });
});

/** A revocation holds within 5 s; the rest is for a busy machine. */
const ENDED_MS_MAX = 7_000;

describe('an open feed whose key ends is ended within 5 seconds, between two frames:', () => {
  /** Reads until the server ends the stream. @returns the frames, and how long after `end` that was. */
  async function readUntilEnded(client: ReturnType<typeof createApiClient>, end: () => Promise<number>) {
    const { id } = await system.api.session();
    const frames: SseFrame[] = [];
    let endedAt = Promise.resolve(0);
    for await (const frame of client.follow(id, '?after=0')) {
      if (frames.push(frame) === 2) endedAt = end();
    }
    return { id, frames, afterMs: Date.now() - (await endedAt) };
  }

  it('a key that is revoked', async () => {
    const { body: key } = await system.api.post('/v1/api-keys', { name: 'reader', level: 'read-only' });
    const client = createApiClient(system.url, key.key);
    const { id, frames, afterMs } = await readUntilEnded(client, async () => {
      await system.api.delete(`/v1/api-keys/${key.id}`);
      return Date.now();
    });
    expect(afterMs).toBeLessThan(ENDED_MS_MAX);
    expect(frames.map(({ event }) => event)).toEqual(['stream.opened', 'session.created']);
    expect((await client.get(`/v1/sessions/${id}`)).status).toBe(401);
  });

  it('a client token that expires', async () => {
    const { id } = await system.api.session();
    const { body } = await system.api.post('/v1/client-tokens', {
      session_ids: [id],
      scopes: ['read'],
      expires_in_seconds: 5,
    });
    const client = createApiClient(system.url, body.token);
    const frames: SseFrame[] = [];
    for await (const frame of client.follow(id, '?after=0')) frames.push(frame);
    expect(Date.now() - Date.parse(body.expires_at)).toBeLessThan(ENDED_MS_MAX);
    expect(frames.map(({ event }) => event)).toEqual(['stream.opened', 'session.created']);
  });
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
    ['ahead of the log, in the header', '', { 'Last-Event-ID': '999' }, 'Last-Event-ID'],
    ["a page's", '?cursor=x', {}, 'cursor'],
  ])('is refused by name: %s', async (_title, query, headers, param) => {
    const { id } = await system.api.session();
    const { status, body } = await system.api.get(`/v1/sessions/${id}/events${query}`, {
      ...ACCEPT,
      ...headers,
    });
    expect([status, body.error.code, body.error.param]).toEqual([400, 'invalid_request', param]);
    expect(body.error.message).toContain(`'${param}'`);
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
