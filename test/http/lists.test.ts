// Lists: query parameters, pages, and cursors that only their own list accepts.
import fc from 'fast-check';
import { createCursors } from '../../src/http/pagination.ts';
import { addSession } from './support/fake-services.ts';
import { makeMessage } from './support/fixtures.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
const ids: string[] = [];
beforeAll(async () => {
  app = await startHarness();
  for (let index = 0; index < 45; index++) ids.push(addSession(app).id);
});
afterAll(() => app.close());

const list = (query: string, key = 'a-admin') => app.call('GET', `/v1/sessions${query}`, { key });
const lastCall = (name: string) => app.calls.filter((call) => call.name === name).at(-1)?.arguments;

describe('query parameters', () => {
  it.each([
    ['?limit=0', 'limit', "The 'limit' parameter must be at least 1"],
    ['?limit=101', 'limit', "The 'limit' parameter must be at most 100"],
    ['?limit=1e9', 'limit', "The 'limit' parameter must be a whole number from 1 to 100"],
    ['?limit=-1', 'limit', "The 'limit' parameter must be a whole number from 1 to 100"],
    ['?limit=', 'limit', "The 'limit' parameter must be a whole number from 1 to 100"],
    ['?limit=5&limit=5', 'limit', "The 'limit' parameter is given more than once"],
    ['?surprise=1', 'surprise', "Unknown query parameter 'surprise'"],
    ['?order=up', 'order', "The 'order' parameter must be one of 'asc', 'desc'"],
    [
      '?status=active,gone',
      'status',
      "The 'status' parameter must be one of 'active', 'completed', 'archived'",
    ],
    ['?status=', 'status', "The 'status' parameter must be one of 'active', 'completed', 'archived'"],
    [
      '?created_after=yesterday',
      'created_after',
      "The 'created_after' parameter must be a time as in RFC 3339, such as 2026-02-20T10:30:00Z",
    ],
    [
      '?created_after=2026-02-30T00:00:00Z',
      'created_after',
      "The 'created_after' parameter must be a time as in RFC 3339, such as 2026-02-20T10:30:00Z",
    ],
    [
      '?created_before=1708423200',
      'created_before',
      "The 'created_before' parameter must be a time as in RFC 3339, such as 2026-02-20T10:30:00Z",
    ],
    [
      '?created_after=2026-02-20T10:30:00+02:00',
      'created_after',
      "The 'created_after' parameter must be a time as in RFC 3339, such as 2026-02-20T10:30:00Z; write the '+' of an offset as %2B",
    ],
    ['?metadata=x', 'metadata', "The 'metadata' parameter must be given as metadata[key]=value"],
    ['?metadata[a]=1&metadata[a]=2', 'metadata[a]', "The 'metadata[a]' parameter is given more than once"],
    [
      '?metadata[__proto__]=1',
      'metadata[__proto__]',
      "The 'metadata[__proto__]' parameter has a reserved name",
    ],
    [
      '?metadata[constructor]=1',
      'metadata[constructor]',
      "The 'metadata[constructor]' parameter is a reserved name",
    ],
    ['?__proto__=1', '__proto__', "The '__proto__' parameter has a reserved name"],
    ['?model=%00', 'model', "The 'model' parameter must not contain the NUL character"],
    ['?model=%ff', null, 'The query string is not percent-encoded UTF-8'],
    ['?model=%', null, 'The query string is not percent-encoded UTF-8'],
    ['?cursor=', 'cursor', "The 'cursor' parameter is not a cursor of this list and filter"],
  ])('refuses %s', async (query, param, message) => {
    const answer = await list(query);
    expectError(answer, 400, 'invalid_request', param);
    expect(answer.body.error.message).toBe(message);
  });

  it('hands the filters to the service as values', async () => {
    await list(
      '?status=active,archived&model=claude-haiku&created_after=2026-02-20T10:30:00%2B02:00' +
        '&created_before=2026-03-01&metadata[customer]=a%20b&metadata[x.y]=&limit=7&order=asc',
    );
    expect(lastCall('sessions.list')?.slice(1)).toEqual([
      {
        status: ['active', 'archived'],
        model: 'claude-haiku',
        createdAfterMs: Date.UTC(2026, 1, 20, 8, 30),
        createdBeforeMs: Date.UTC(2026, 2, 1),
        metadata: { customer: 'a b', 'x.y': '' },
      },
      { limit: 7, order: 'asc', after: null },
    ]);
  });

  it('reads include=state and nothing else there', async () => {
    const { body } = await app.call('GET', `/v1/sessions/${ids[0]}?include=state`);
    expect(body.state.phase).toBe('idle');
    expect((await app.call('GET', `/v1/sessions/${ids[0]}`)).body).not.toHaveProperty('state');
    expectError(
      await app.call('GET', `/v1/sessions/${ids[0]}?include=all`),
      400,
      'invalid_request',
      'include',
    );
  });
});

describe('pages', () => {
  async function readAll(limits: number[], order = ''): Promise<string[]> {
    const read: string[] = [];
    let cursor = '';
    for (let page = 0; ; page++) {
      const limit = limits[page % limits.length];
      const { body } = await list(`?limit=${limit}${order}${cursor && `&cursor=${cursor}`}`);
      read.push(...body.data.map((session: { id: string }) => session.id));
      expect(body.has_more).toBe(body.next_cursor !== null);
      if (!body.has_more) return read;
      cursor = body.next_cursor;
    }
  }

  it('shows every row once, newest first, with a limit that may change', async () => {
    expect(await readAll([10])).toEqual(ids.toReversed());
    expect(await readAll([3, 20, 1])).toEqual(ids.toReversed());
    expect(await readAll([10], '&order=asc')).toEqual(ids);
  });

  it('has 20 rows by default, and leaves the prompt and the messages out', async () => {
    const { body } = await list('');
    expect(Object.keys(body)).toEqual(['data', 'has_more', 'next_cursor']);
    expect(body.data).toHaveLength(20);
    expect(body.data[0]).not.toHaveProperty('messages');
    expect(body.data[0]).not.toHaveProperty('system_prompt');
  });

  it('begins messages with the oldest', async () => {
    const [sessionId] = ids as [string];
    for (const content of ['first', 'second']) {
      const message = makeMessage({ session_id: sessionId, content });
      app.messages.set(message.id, message);
    }
    const contents = async (query: string) => {
      const { body } = await app.call('GET', `/v1/sessions/${sessionId}/messages${query}`);
      return body.data.map((message: { content: string }) => message.content);
    };
    expect(await contents('')).toEqual(['first', 'second']);
    expect(await contents('?order=desc')).toEqual(['second', 'first']);
  });
});

describe('events', () => {
  const page = (query: string, headers: Record<string, string> = {}) =>
    app.call('GET', `/v1/sessions/${ids[0]}/events${query}`, { headers });

  it('begins at the start, and puts what an event carries beside its envelope', async () => {
    const { body } = await page('?limit=2');
    expect(body.data.map((event: { seq: number }) => event.seq)).toEqual([1, 2]);
    expect(Object.keys(body.data[1])).toEqual([
      'id',
      'seq',
      'type',
      'created_at',
      'session_id',
      'message_id',
      'step',
      'text',
    ]);
    expect(body.data[1]).toMatchObject({ type: 'message.delta', text: 'a' });
  });

  it('goes on by cursor and by seq alike', async () => {
    const first = (await page('?limit=3')).body;
    const byCursor = (await page(`?limit=3&cursor=${first.next_cursor}`)).body;
    const bySeq = (await page('?limit=3&after=3')).body;
    const seqs = (body: { data: { seq: number }[] }) => body.data.map((event) => event.seq);
    expect([seqs(byCursor), seqs(bySeq)]).toEqual([
      [4, 5, 6],
      [4, 5, 6],
    ]);
    const last = (await page('?after=6')).body;
    expect([seqs(last), last.has_more, last.next_cursor]).toEqual([[7], false, null]);
  });

  it('hands the filters to the service', async () => {
    await page('?after=2&types=message.delta,message.completed&message_id=msg_x&order=asc');
    expect(lastCall('events.page')?.[2]).toEqual({
      order: 'asc',
      after: 2,
      limit: 20,
      types: ['message.delta', 'message.completed'],
      messageId: 'msg_x',
    });
  });

  it.each([
    ['?after=-1', 'after'],
    ['?after=x', 'after'],
    ['?types=message.delta,nothing', 'types'],
    ['?order=newest', 'order'],
    ['?message_id=', 'message_id'],
  ])('refuses %s', async (query, param) => expectError(await page(query), 400, 'invalid_request', param));

  it.each(['?limit=3', '?limit=3&after=1'])(
    'goes on after a Last-Event-ID as a stream does: %s',
    async (query) => {
      const { body } = await page(query, { 'last-event-id': '3' });
      expect(body.data.map((event: { seq: number }) => event.seq)).toEqual([4, 5, 6]);
    },
  );

  it('refuses a Last-Event-ID that is no seq, by its name', async () =>
    expectError(await page('', { 'last-event-id': 'I;;' }), 400, 'invalid_request', 'Last-Event-ID'));

  it.each([
    ['?limit=2&order=desc', [7, 6, 5, 4, 3, 2, 1]],
    ['?limit=2&after=3', [4, 5, 6, 7]],
    ['?limit=2&order=desc&after=3', [7, 6, 5, 4]],
  ])('leads through all pages of %s, whether its seq is said again or not', async (query, seqs) => {
    const withoutSeq = query.replace(/&after=\d+/, '');
    for (const again of [query, withoutSeq]) {
      const got: number[] = [];
      let next = query;
      do {
        const { body } = await page(next);
        got.push(...body.data.map((event: { seq: number }) => event.seq));
        next = body.has_more ? `${again}&cursor=${body.next_cursor}` : '';
      } while (next !== '');
      expect(got).toEqual(seqs);
    }
  });

  it('is told in its order as a stream', async () => {
    const stream = await page('?order=desc', { accept: 'text/event-stream' });
    expectError(stream, 400, 'invalid_request', 'order');
  });
});

describe('cursors', () => {
  let cursor: string;
  beforeAll(async () => {
    cursor = (await list('?limit=5')).body.next_cursor;
  });

  it.each([
    ['of another account', () => list(`?cursor=${cursor}`, 'b-admin')],
    ['of another list', () => app.call('GET', `/v1/api-keys?cursor=${cursor}`)],
    ['of another filter', () => list(`?cursor=${cursor}&status=active`)],
    ['of another order', () => list(`?cursor=${cursor}&order=asc`)],
    [
      'with another last letter',
      () => list(`?cursor=${cursor.slice(0, -1)}${cursor.endsWith('A') ? 'B' : 'A'}`),
    ],
    ['with more behind it', () => list(`?cursor=${cursor}AAAA`)],
    ['that is cut', () => list(`?cursor=${cursor.slice(0, 10)}`)],
    ['of nonsense', () => list('?cursor=%F0%9F%99%82')],
  ])('are refused when %s', async (_name, call) => {
    expectError(await call(), 400, 'invalid_request', 'cursor');
  });

  it('come back as they went, and not after any change', () => {
    const cursors = createCursors(Buffer.alloc(32, 1));
    const scopes = fc.record({
      accountId: fc.string(),
      path: fc.string(),
      filter: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.array(fc.string()))),
    });
    const positions = fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 3 });
    fc.assert(
      fc.property(positions, scopes, fc.nat(), fc.nat(63), (position, scope, at, letter) => {
        const made = cursors.encode(position, scope);
        expect(cursors.decode(made, structuredClone(scope))).toEqual(position);
        const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
        const index = at % made.length;
        const changed = made.slice(0, index) + alphabet[letter] + made.slice(index + 1);
        if (changed !== made) expect(() => cursors.decode(changed, scope)).toThrow('not a cursor');
        expect(() => cursors.decode(made, { ...scope, accountId: `${scope.accountId}x` })).toThrow(
          'not a cursor',
        );
        expect(() => cursors.decode(made, { ...scope, filter: { ...scope.filter, more: 'x' } })).toThrow();
      }),
    );
  });
});
