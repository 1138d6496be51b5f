// What is queued for webhooks: with its event or not at all (acceptance test 14), and until it is no longer wanted.
import { eventBody, webhookBody } from '../../src/contracts/event-body.ts';
import { WEBHOOK_EVENTS } from '../../src/contracts/events.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
let clock = 0;
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

  test('an endpoint that is switched off cancels thousands that were pending, and no other’s', async () => {
    const [hook, other] = [await store.createWebhook(), await store.createWebhook()];
    await store.createSession();
    const [row] = await rowsOf(hook.id);
    const copies = Array.from({ length: 2_500 }, (_, n) => ({ ...row!, id: `dlv_copy_${n}` }));
    for (let from = 0; from < copies.length; from += 500)
      await store.db
        .insertInto('deliveries')
        .values(copies.slice(from, from + 500))
        .execute();
    await store.services.webhooks.update(store.caller, hook.id, { status: 'disabled' }, null);
    const statuses = (await rowsOf(hook.id)).map(({ status }) => status);
    expect(statuses).toEqual(Array(2_501).fill('cancelled'));
    expect((await rowsOf(other.id)).map(({ status }) => status)).toEqual(['pending']);
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

describe('sending again', () => {
  const at = (ms: number) => new Date(ms).toISOString();
  const settle = (status: 'delivered' | 'failed' | 'cancelled') =>
    store.db
      .updateTable('deliveries')
      .set({ status, next_attempt_at: null, completed_at: Date.now(), attempt_count: 10 })
      .execute();
  const { redeliver, replay } = {
    redeliver: async (id: string) =>
      (await store.services.deliveries.redeliver(store.caller, id, null)).value,
    replay: async (id: string, from: number, to: number) =>
      (await store.services.deliveries.replay(store.caller, id, { from: at(from), to: at(to) }, null)).value,
  };

  test.each(['delivered', 'failed', 'cancelled'] as const)(
    'one that was %s is due at once, for its endpoint to send, with the same bytes',
    async (status) => {
      const hook = await store.createWebhook({ events: ['session.created'] });
      await store.createSession();
      await settle(status);
      const [before] = await rowsOf(hook.id);
      clock += 60_000;
      const shown = await redeliver(before!.id);
      expect(shown).toMatchObject({ id: before!.id, status: 'pending', body: before!.body });
      const [row] = await rowsOf(hook.id);
      expect(row).toMatchObject({ owner: 'endpoint', body: before!.body, event_id: before!.event_id });
      expect([Number(row!.attempt_count), row!.completed_at]).toEqual([0, null]);
      expect(Date.parse(shown.next_attempt_at!)).toBe(Number(row!.next_attempt_at));
      expect(Number(row!.next_attempt_at)).toBeGreaterThanOrEqual(Number(before!.created_at) + 60_000);
    },
  );

  test('is refused without an endpoint, without a body, and while the endpoint is disabled', async () => {
    const hook = await store.createWebhook({ events: ['session.created'] });
    const session = await store.createSession();
    const [row] = await rowsOf(hook.id);
    await store.services.webhooks.update(store.caller, hook.id, { status: 'disabled' }, null);
    expect((await rowsOf(hook.id))[0]).toMatchObject({ status: 'cancelled', next_attempt_at: null });
    await expect(redeliver(row!.id)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(replay(hook.id, 0, Date.now() + clock)).rejects.toMatchObject({ code: 'invalid_request' });
    await store.services.webhooks.update(store.caller, hook.id, { status: 'enabled' }, null);
    await store.sessions.delete(store.caller, session);
    await expect(redeliver(row!.id)).rejects.toMatchObject({ code: 'not_found' });
    await store.services.webhooks.delete(store.caller, hook.id, null);
    await expect(redeliver(row!.id)).rejects.toMatchObject({ message: 'No such webhook' });
    await expect(redeliver('dlv_unknown')).rejects.toMatchObject({ message: 'No such delivery' });
  });

  test('a range is all that happened in it, of this endpoint, whatever became of it', async () => {
    const [hook, other] = [
      await store.createWebhook({ events: ['session.created'] }),
      await store.createWebhook({ events: ['session.created'] }),
    ];
    const times: number[] = [];
    for (let n = 0; n < 4; n += 1) {
      clock += 60_000;
      await store.createSession();
      times.push(Number((await rowsOf(hook.id)).at(-1)!.created_at));
    }
    await settle('delivered');
    expect(await replay(hook.id, times[1]!, times[3]!)).toEqual({ count: 2 });
    const pending = (await rowsOf(hook.id)).filter(({ status }) => status === 'pending');
    expect(pending.map(({ created_at }) => Number(created_at)).sort()).toEqual([times[1], times[2]]);
    expect((await rowsOf(other.id)).every(({ status }) => status === 'delivered')).toBe(true);
    await expect(replay(hook.id, times[1]!, times[1]!)).rejects.toMatchObject({ options: { param: 'to' } });
  });

  test('a range has what it would have been sent while it was disabled, once, and nothing older than itself', async () => {
    const before = await store.createSession();
    clock += 60_000;
    const hook = await store.createWebhook({
      events: ['session.created', 'session.updated'],
      filter: { metadata: { team: 'blue' } },
    });
    const set = (status: 'enabled' | 'disabled') =>
      store.services.webhooks.update(store.caller, hook.id, { status }, null);
    await store.sessions.update(store.caller, before, { metadata: { team: 'blue' } });
    await set('disabled');
    clock += 60_000;
    const missed = await store.createSession({ metadata: { team: 'blue' } });
    await store.createSession({ metadata: { team: 'red' } });
    await store.send(missed);
    clock += 60_000;
    await set('enabled');
    const events = await store.events(missed);
    expect(await replay(hook.id, 0, Date.now() + clock)).toEqual({ count: 2 });
    const rows = await rowsOf(hook.id);
    expect(
      rows.map(({ session_id, event_type, status, owner }) => [session_id, event_type, status, owner]),
    ).toEqual([
      [missed, 'session.created', 'pending', 'endpoint'],
      [before, 'session.updated', 'pending', 'endpoint'],
    ]);
    expect(rows[0]).toMatchObject({ event_id: events[0]!.id, body: webhookBody(events[0]!) });
    expect(Number(rows[0]!.created_at)).toBe(Date.parse(events[0]!.created_at));
    expect(await replay(hook.id, 0, Date.now() + clock)).toEqual({ count: 2 });
    expect(await rowsOf(hook.id)).toHaveLength(2);
  });
});

describe('a new secret', () => {
  const rotate = async (id: string, fields: { secret?: string; activate_at?: string } = {}) =>
    (await store.services.webhooks.rotateSecret(store.caller, id, fields, null)).value.secret;
  const held = async (id: string) => {
    const row = await store.db
      .selectFrom('webhooks')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    return {
      secret: store.secrets.open(id, row.secret),
      next: row.next_secret && store.secrets.open(id, row.next_secret),
      inMs: Number(row.next_secret_at) - Date.now() - clock,
    };
  };

  test('stands beside the old one for a day, or until it is told to', async () => {
    const { id } = await store.createWebhook({ secret: 'first' });
    const second = await rotate(id);
    expect(second).toMatch(/^whsec_/);
    expect(await held(id)).toEqual({ secret: 'first', next: second, inMs: expect.any(Number) });
    expect((await held(id)).inMs).toBeGreaterThan(23.9 * 3_600_000);
    // Announced anew before it was in force: the first one is still what receivers know.
    const soon = new Date(Date.now() + clock + 60_000).toISOString();
    expect(await rotate(id, { secret: 'third', activate_at: soon })).toBe('third');
    expect(await held(id)).toMatchObject({ secret: 'first', next: 'third' });
    clock += 61_000;
    await rotate(id, { secret: 'fourth' });
    expect(await held(id)).toMatchObject({ secret: 'third', next: 'fourth' });
    const late = new Date(Date.now() + clock + 400 * 24 * 3_600_000).toISOString();
    await expect(rotate(id, { activate_at: late })).rejects.toMatchObject({
      options: { param: 'activate_at' },
    });
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

// The other order can't be: SQLite's transactions take turns.
test('an endpoint that is deleted while an event is queued for it has nothing pending afterwards', async () => {
  const session = await store.createSession();
  for (let n = 0; n < 20; n += 1) {
    const hook = await store.createWebhook();
    await Promise.all([
      store.sessions.update(store.caller, session, { metadata: { n: String(n) } }),
      store.services.webhooks.delete(store.caller, hook.id, null),
    ]);
    expect((await rowsOf(hook.id)).filter(({ status }) => status === 'pending')).toEqual([]);
  }
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
