// What is queued for webhooks: with its event or not at all, the same bytes for ever (acceptance tests 2, 11, 14).
import fc from 'fast-check';
import { eventBody, webhookBody } from '../../src/contracts/event-body.ts';
import { WEBHOOK_EVENTS } from '../../src/contracts/events.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

const isLong = process.env.TEST_LONG === '1';

let store: TestStore;
const clock = 0;
beforeAll(async () => {
  store = await openTestStore({ now: () => Date.now() + clock });
});
afterAll(() => store.close());

const rowsOf = (webhookId: string) =>
  store.db.selectFrom('deliveries').selectAll().where('webhook_id', '=', webhookId).orderBy('seq').execute();
const typesOf = async (webhookId: string) => (await rowsOf(webhookId)).map((row) => row.event_type);
const removeAll = async () => {
  await store.db.deleteFrom('webhooks').execute();
  await store.db.deleteFrom('deliveries').execute();
};
afterEach(removeAll);

describe('an event that a webhook wants', () => {
  test('is queued for it with the event: once, pending, due at once, to be sent by the session', async () => {
    const hook = await store.createWebhook();
    const session = await store.createSession();
    await store.answer(await store.send(session), null);
    const events = (await store.events(session)).filter(({ type }) =>
      (WEBHOOK_EVENTS as readonly string[]).includes(type),
    );
    const rows = await rowsOf(hook.id);
    expect(rows.map(({ seq, event_id, event_type }) => [Number(seq), event_id, event_type])).toEqual(
      events.map(({ seq, id, type }) => [seq, id, type]),
    );
    expect(rows.map(({ event_type }) => event_type)).toEqual([
      'session.created',
      'message.created',
      'message.created',
      'message.completed',
    ]);
    for (const row of rows)
      expect(row).toMatchObject({
        session_id: session,
        account_id: store.caller.accountId,
        status: 'pending',
        owner: 'session',
        attempts: '[]',
        next_attempt_at: row.created_at,
        completed_at: null,
      });
    expect(rows.map(({ body }) => JSON.parse(body))).toEqual(events.map(eventBody));
    expect(rows.map(({ body }) => JSON.stringify(JSON.parse(body)))).toEqual(rows.map(({ body }) => body));
  });

  test('is not queued when its transaction is undone, and the session goes on without a gap', async () => {
    const hook = await store.createWebhook({ events: ['session.updated'] });
    const session = await store.createSession();
    const undone = afterItsRows(session);
    expect(await undone.then(() => 'written', String)).toMatch(/next_position/);
    expect(await rowsOf(hook.id)).toEqual([]);
    await store.sessions.update(store.caller, session, { metadata: { a: 'b' } });
    expect((await rowsOf(hook.id)).map(({ seq }) => Number(seq))).toEqual([2]);
  });

  test('goes to each endpoint of its account that asked for it, and to no other', async () => {
    const [all, some, other, disabled] = [
      await store.createWebhook(),
      await store.createWebhook({ events: ['message.completed', 'session.created'] }),
      await store.createWebhook({ events: ['tool.called'] }),
      await store.createWebhook(),
    ];
    await store.services.webhooks.update(store.caller, disabled.id, { status: 'disabled' }, null);
    const stranger = await openTestStore({ file: store.file, account: 'stranger' });
    const theirs = await stranger.createWebhook();
    const session = await store.createSession();
    await store.answer(await store.send(session), null);
    expect(await typesOf(all.id)).toHaveLength(4);
    expect(await typesOf(some.id)).toEqual(['session.created', 'message.completed']);
    expect(await typesOf(other.id)).toEqual([]);
    expect(await typesOf(disabled.id)).toEqual([]);
    expect(await typesOf(theirs.id)).toEqual([]);
    await stranger.close();
  });

  test('passes the filter with the metadata that the session has in that very transaction', async () => {
    const before = await store.createSession({ metadata: { team: 'blue' } });
    const [one, blue, blueTwo] = [
      await store.createWebhook({ filter: { session_id: before } }),
      await store.createWebhook({ filter: { metadata: { team: 'blue' } } }),
      await store.createWebhook({ filter: { metadata: { team: 'blue', floor: '2' } } }),
    ];
    const inherited = await store.createWebhook({ filter: { metadata: { toString: 'x' } } });
    await store.sessions.update(store.caller, before, { metadata: { floor: '2' } });
    const later = await store.createSession({ metadata: { team: 'blue', floor: '1' } });
    await store.sessions.update(store.caller, later, { metadata: { team: 'red' } });
    const seen = async (id: string) =>
      (await rowsOf(id)).map((row) => [row.session_id === before ? 'before' : 'later', row.event_type]);
    expect(await seen(one.id)).toEqual([['before', 'session.updated']]);
    expect((await seen(blue.id)).sort()).toEqual([
      ['before', 'session.updated'],
      ['later', 'session.created'],
    ]);
    expect(await seen(blueTwo.id)).toEqual([['before', 'session.updated']]);
    expect(await seen(inherited.id)).toEqual([]);
  });
});

/** A transaction that fails after everything of it was written: its session can't be updated. */
const afterItsRows = (session: string) =>
  store.log.write(session, async (tx) => {
    tx.append('session.updated', null, { session: await sessionData(session) });
    tx.patch({ next_position: null as unknown as number });
  });

const sessionData = async (id: string) => {
  const page = await store.sessions.get(store.caller, id, { includeState: false });
  const { messages, system_prompt, ...summary } = page;
  return summary;
};

describe('what an account without endpoints pays', () => {
  test('is one look at an index for a transaction with such an event, and nothing for any other', async () => {
    const seen: string[] = [];
    const session = await store.createSession();
    const step = await store.open(await store.send(session), null);
    const { db } = store.store;
    const executor = db.getExecutor();
    const compile = executor.compileQuery.bind(executor);
    jest.spyOn(Object.getPrototypeOf(executor), 'compileQuery').mockImplementation(((
      ...args: Parameters<typeof compile>
    ) => {
      const query = compile(...args);
      seen.push(query.sql);
      return query;
    }) as never);
    const looks = () => seen.filter((sql) => /webhooks|deliveries/.test(sql));
    await store.turns.appendText(writerOf(step), 'Some text');
    expect(seen.length).toBeGreaterThan(0);
    expect(looks()).toEqual([]);
    await store.turns.complete(writerOf(step), 'Some text', replyOf('Some text'));
    expect(looks()).toHaveLength(1);
    jest.restoreAllMocks();
  });
});

describe('a body', () => {
  const message = {
    id: 'msg_1',
    session_id: 'sess_1',
    parent_id: null,
    role: 'assistant',
    content: '',
    content_blocks: [] as unknown[],
    status: 'completed',
    stop_reason: 'end_turn',
    model: 'claude-haiku-4-5',
    usage: {
      input_tokens: 1,
      output_tokens: 1,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0,
      total_tokens: 2,
      cost_usd: '0',
    },
    tool_calls: [],
    waiting_for: [],
    files: [],
    error: null,
    created_at: '2026-01-01T00:00:00.000Z',
    completed_at: null,
  };
  const completed = (content: string, blocks: unknown[] = []) => ({
    id: 'evt_1',
    seq: 7,
    type: 'message.completed' as const,
    created_at: '2026-01-01T00:00:00.000Z',
    session_id: 'sess_1',
    message_id: 'msg_1',
    data: { message: { ...message, content, content_blocks: blocks } },
  });
  const bytes = (text: string) => Buffer.byteLength(text);

  test('of a 2 MB message has at most 64 KiB, the beginning of its text, and says where the whole is', () => {
    for (const unit of ['a', '😀', '\u0001', 'ü']) {
      const text = `x${unit.repeat(2_000_000 / unit.length)}`;
      const body = webhookBody(completed(text, [{ type: 'text', text }]));
      expect(bytes(body)).toBeLessThanOrEqual(64 * 1024);
      const parsed = JSON.parse(body);
      expect(parsed).toMatchObject({
        type: 'message.completed',
        seq: 7,
        truncated: true,
        url: '/v1/sessions/sess_1/messages/msg_1',
        message: { id: 'msg_1', status: 'completed', content_blocks: null },
      });
      expect(parsed.message.content.length).toBeGreaterThan(7_000);
      expect(text.startsWith(parsed.message.content)).toBe(true);
      expect(parsed.message.content.isWellFormed()).toBe(true);
      expect(JSON.stringify(parsed)).toBe(body);
    }
  });

  test('that fits is whole, to the last byte', () => {
    const room = 64 * 1024 - bytes(webhookBody(completed('')));
    const fits = webhookBody(completed('a'.repeat(room)));
    expect([bytes(fits), JSON.parse(fits).truncated]).toEqual([64 * 1024, undefined]);
    expect(JSON.parse(webhookBody(completed('a'.repeat(room + 1)))).truncated).toBe(true);
  });

  // Whatever a model or a client can put into an event, with the spellings that other writers of JSON trip over.
  const awkward = fc.constantFrom(
    ...['{"z":1,"10":2}', '{"4294967295":1,"01":2,"2024":{"b":1,"1":2}}', '-0', '1.0', '1e21', '0.0000001'],
    ...[
      '9007199254740993',
      '1e400',
      '"\\/"',
      '"\\u00e9\\u007f\\u2028\\u003c\\u0009"',
      '"\\uD800"',
      '"\\u0000"',
    ],
    ...['{"__proto__":{"a":1},"constructor":{"prototype":1},"toJSON":1,"":2}', '{"a":1,"a":2}', '[[],{}]'],
  );
  const value = fc
    .oneof(
      awkward,
      fc.json({ maxDepth: 5, stringUnit: 'binary' }),
      fc.dictionary(fc.string({ unit: 'binary' }), fc.double()).map((record) => JSON.stringify(record)),
    )
    .map((text) => JSON.parse(text));
  const content = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  );

  test('comes back from the database byte for byte, and survives being parsed and written again', async () => {
    const hook = await store.createWebhook();
    const session = await store.createSession();
    await store.db.deleteFrom('deliveries').execute();
    const writing = fc.asyncProperty(
      fc.array(fc.tuple(content, value), { minLength: 1, maxLength: 40 }),
      async (many) => {
        const expected: string[] = [];
        await store.log.write(session, async (tx) => {
          for (const [text, json] of many) {
            const data = {
              message: { ...message, content: text, content_blocks: [{ type: 'json', value: json }] },
            };
            tx.append('message.completed', 'msg_1', data as never);
          }
        });
        const events = await store.events(session);
        for (const event of events.slice(-many.length)) expected.push(webhookBody(event));
        const rows = await rowsOf(hook.id);
        expect(rows.map(({ body }) => body)).toEqual(expected);
        for (const { body } of rows) expect(JSON.stringify(JSON.parse(body))).toBe(body);
        await store.db.deleteFrom('deliveries').execute();
      },
    );
    // Each run writes 20 or so: a thousand in the short form, twenty thousand in the long one.
    await fc.assert(writing, { numRuns: isLong ? 1_000 : 50 });
  });
});

describe('what is no longer to be sent', () => {
  test('an endpoint that is deleted cancels what was pending, and keeps what was sent', async () => {
    const hook = await store.createWebhook({ events: ['session.created', 'session.updated'] });
    const session = await store.createSession();
    await store.db.updateTable('deliveries').set({ status: 'delivered', next_attempt_at: null }).execute();
    await store.sessions.update(store.caller, session, { metadata: { a: 'b' } });
    await store.services.webhooks.delete(store.caller, hook.id, null);
    const rows = await rowsOf(hook.id);
    expect(rows.map(({ status, next_attempt_at }) => [status, next_attempt_at])).toEqual([
      ['delivered', null],
      ['cancelled', null],
    ]);
    const kept = await store.services.deliveries.get(store.caller, rows[1]!.id);
    expect(kept).toMatchObject({ status: 'cancelled', event_type: 'session.updated' });
  });

  test('a session that is deleted cancels all but its end, and takes the bodies with it', async () => {
    const hook = await store.createWebhook();
    const session = await store.createSession({ metadata: { secret: 'a private text' } });
    const other = await store.createSession();
    const first = (await rowsOf(hook.id)).find(({ session_id }) => session_id === session);
    await store.db
      .updateTable('deliveries')
      .set({ status: 'delivered', next_attempt_at: null })
      .where('id', '=', first!.id)
      .execute();
    await store.sessions.update(store.caller, session, { metadata: { a: 'b' } });
    await store.sessions.delete(store.caller, session);
    const rows = await rowsOf(hook.id);
    const mine = rows.filter(({ session_id }) => session_id === session);
    expect(mine.map(({ event_type, status, body }) => [event_type, status, body === ''])).toEqual([
      ['session.created', 'delivered', true],
      ['session.updated', 'cancelled', true],
      ['session.ended', 'pending', false],
    ]);
    expect(JSON.parse(mine[2]!.body)).toMatchObject({ type: 'session.ended', reason: 'deleted' });
    expect(rows.find(({ session_id }) => session_id === other)).toMatchObject({ status: 'pending' });
    expect((await store.services.deliveries.get(store.caller, first!.id)).body).toBeNull();
  });
});

describe('a secret', () => {
  test('is encrypted at rest, for its own webhook alone, and comes back as it was', async () => {
    const secret = 'your_webhook_secret ☃';
    const [given, made] = [await store.createWebhook({ secret }), await store.createWebhook()];
    expect([given.secret, made.secret]).toEqual([secret, expect.stringMatching(/^whsec_[\w+/]{43}=$/)]);
    const rows = await store.db.selectFrom('webhooks').selectAll().execute();
    expect(JSON.stringify(rows)).not.toContain('your_webhook_secret');
    const sealed = rows.find(({ id }) => id === given.id)!.secret;
    expect(store.secrets.open(given.id, sealed)).toBe(secret);
    expect(() => store.secrets.open(made.id, sealed)).toThrow();
    expect(store.secrets.seal(given.id, secret)).not.toBe(sealed);
  });
});

test('an account has at most a hundred, also when the last ones are made at once', async () => {
  for (let n = 0; n < 98; n += 1) await store.createWebhook();
  const made = await Promise.allSettled(Array.from({ length: 6 }, () => store.createWebhook()));
  expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
  const refused = made.filter((each) => each.status === 'rejected');
  for (const { reason } of refused)
    expect(reason).toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('100 webhooks'),
    });
});
