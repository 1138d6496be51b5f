// An Idempotency-Key and what it made exist together, for a day: every write goes through one mechanism.
import type { Engine } from '../../src/services/engine.ts';
import type { Idempotency, Written } from '../../src/services/ports.ts';
import { IDEMPOTENCY_KEPT_MS } from '../../src/stores/idempotency.ts';
import { postgresUrl } from '../support/database.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let nowMs = Date.parse('2026-03-01T12:00:00Z');
let store: TestStore;
/** The same account in another process, as far as the database can tell; SQLite has one process only. */
let twin: TestStore;
let other: TestStore;
/** Replies that a workflow was told to stop. */
const interrupts: string[] = [];

const signal: Engine['signal'] = async (name, _, argument) => {
  if (name === 'interrupt' && 'replyId' in argument) interrupts.push(argument.replyId);
};

beforeAll(async () => {
  const engine = { signal };
  const now = () => nowMs;
  store = await openTestStore({ now, engine });
  twin = postgresUrl === null ? store : await openTestStore({ file: store.file, now, engine });
  other = await openTestStore({ file: store.file, now, account: 'other' });
});
afterAll(async () => {
  await other.close();
  if (twin !== store) await twin.close();
  await store.close();
});

let count = 0;
const newKey = (fields: Partial<Idempotency> = {}): Idempotency => {
  count += 1;
  return { key: `key-${count}`, route: 'POST /v1/sessions', fingerprint: 'same', ...fields };
};

const create = async (key: Idempotency, of = store) => {
  const made = await of.services.sessions.create(of.caller, { model: 'claude-haiku' }, key);
  return { id: made.value.id, replayed: made.replayed };
};

const keysLeft = async () =>
  (await store.db.selectFrom('idempotency_keys').select('key').execute()).map(({ key }) => key);

type Write = (of: TestStore, key: Idempotency) => Promise<Written<unknown>>;

interface Case {
  name: string;
  prepare(): Promise<{ write: Write; effects(): Promise<number> }>;
}

const eventsOf = async (session: string, type: string): Promise<number> =>
  (await store.events(session)).filter((event) => event.type === type).length;

/** A case whose write appends one event of that type to a session. */
const onSession = (name: string, type: string, write: (id: string) => Write): Case => ({
  name,
  async prepare() {
    const session = await store.createSession();
    return { write: write(session), effects: () => eventsOf(session, type) };
  },
});

const sessionsMade = async (): Promise<number> =>
  (await store.db.selectFrom('sessions').select('id').execute()).length;
const keysNamed = async (name: string) =>
  store.db.selectFrom('api_keys').selectAll().where('name', '=', name).execute();

const cases: Case[] = [
  {
    name: 'creating a session',
    async prepare() {
      const before = await sessionsMade();
      return {
        write: (of, key) => of.services.sessions.create(of.caller, { model: 'claude-haiku' }, key),
        effects: async () => (await sessionsMade()) - before,
      };
    },
  },
  onSession(
    'sending a message',
    'message.created',
    (id) => (of, key) =>
      of.services.messages.accept(of.caller, id, { content: 'Hello', on_busy: 'reject' }, key),
  ),
  onSession(
    'changing a session',
    'session.updated',
    (id) => (of, key) => of.services.sessions.update(of.caller, id, { metadata: { a: '1' } }, key),
  ),
  onSession(
    'completing a session',
    'session.ended',
    (id) => (of, key) => of.services.sessions.complete(of.caller, id, key),
  ),
  onSession(
    'archiving a session',
    'session.ended',
    (id) => (of, key) => of.services.sessions.archive(of.caller, id, key),
  ),
  {
    name: 'deleting a session',
    async prepare() {
      const session = await store.createSession();
      const gone = async () => ((await store.sessionRow(session)).deleted_at === null ? 0 : 1);
      return { write: (of, key) => of.services.sessions.delete(of.caller, session, key), effects: gone };
    },
  },
  {
    name: 'creating an API key',
    async prepare() {
      const name = newKey().key;
      return {
        write: (of, key) => of.services.apiKeys.create(of.caller, { name, level: 'standard' }, key),
        effects: async () => (await keysNamed(name)).length,
      };
    },
  },
  {
    name: 'revoking an API key',
    async prepare() {
      const name = newKey().key;
      const made = await store.services.apiKeys.create(store.caller, { name, level: 'standard' }, null);
      return {
        write: (of, key) => of.services.apiKeys.revoke(of.caller, made.value.id, key),
        effects: async () => (await keysNamed(name)).filter((row) => row.revoked_at !== null).length,
      };
    },
  },
];

/** Where a message stands in the log is not the same for the one that made it and for one that joins. */
const comparable = (value: unknown) => ({ ...(value as object), afterSeq: null, key: null });

describe.each(cases)('$name', ({ prepare }) => {
  test('again with the same key has no second effect, and shows the same resource', async () => {
    const { write, effects } = await prepare();
    const key = newKey();
    const first = await write(store, key);
    expect(first.replayed).toBe(false);
    nowMs += 1_000;
    const again = await write(store, key);
    expect(again.replayed).toBe(true);
    expect(comparable(again.value)).toEqual(comparable(first.value));
    expect(await effects()).toBe(1);
  });

  test('ten times at once, in two processes, has one effect and equal answers', async () => {
    const { write, effects } = await prepare();
    const key = newKey();
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, index) => write(index % 2 ? store : twin, key)),
    );
    expect(made.filter(({ replayed }) => !replayed)).toHaveLength(1);
    for (const { value } of made) expect(comparable(value)).toEqual(comparable(made[0]?.value));
    expect(await effects()).toBe(1);
  });

  test('with another body under the same key is refused, and changes nothing', async () => {
    const { write, effects } = await prepare();
    const key = newKey();
    await write(store, key);
    await expect(write(store, { ...key, fingerprint: 'other' })).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    });
    expect(await effects()).toBe(1);
  });
});

test('another body of the same moment is refused too: one of the two wins', async () => {
  const key = newKey();
  const made = await Promise.allSettled([create(key), create({ ...key, fingerprint: 'other' }, twin)]);
  expect(made.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('a key belongs to one account and one route', async () => {
  const key = newKey();
  const first = await create(key);
  expect((await create({ ...key, route: 'POST /v1/elsewhere' })).id).not.toBe(first.id);
  expect((await create(key, other)).id).not.toBe(first.id);
});

describe('a key is not kept', () => {
  test('when its request was refused', async () => {
    const session = await store.createSession();
    const key = newKey();
    await store.send(session);
    const reject = { content: 'Hello', on_busy: 'reject' } as const;
    await expect(store.messages.accept(store.caller, session, reject, key)).rejects.toMatchObject({
      code: 'session_busy',
    });
    await expect(store.services.sessions.delete(other.caller, session, key)).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(store.services.apiKeys.revoke(store.caller, 'key_unknown', key)).rejects.toMatchObject({
      code: 'not_found',
    });
    expect(await keysLeft()).not.toContain(key.key);
  });

  test('when the store failed in the middle of the write', async () => {
    const session = await store.createSession();
    const key = newKey();
    const change = () => store.services.sessions.update(store.caller, session, { metadata: { a: '1' } }, key);
    await store.db.schema.alterTable('events').renameTo('events_away').execute();
    const failed = await change().catch((error: Error) => error.message);
    await store.db.schema.alterTable('events_away').renameTo('events').execute();
    expect(failed).toMatch(/events/);
    expect(await keysLeft()).not.toContain(key.key);
    expect(await change()).toMatchObject({ replayed: false, value: { metadata: { a: '1' } } });
  });
});

describe('after a session was deleted', () => {
  test('its deletion is confirmed again, and without the key it is gone', async () => {
    const session = await store.createSession();
    const key = newKey();
    const remove = () => store.services.sessions.delete(store.caller, session, key);
    await remove();
    expect(await remove()).toEqual({ value: { id: session, deleted: true }, replayed: true });
    await expect(store.sessions.delete(store.caller, session)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('a late retry of its creation is told so, and makes no second one', async () => {
    const key = newKey();
    const { id } = await create(key);
    await store.sessions.delete(store.caller, id);
    const before = await sessionsMade();
    await expect(create(key)).rejects.toMatchObject({ code: 'not_found', message: /was deleted/ });
    expect(await sessionsMade()).toBe(before);
  });

  test('a late retry of a message is told that the session is gone', async () => {
    const session = await store.createSession();
    const key = newKey();
    const accept = () => store.messages.accept(store.caller, session, { content: 'Hello' }, key);
    await accept();
    await store.sessions.delete(store.caller, session);
    await expect(accept()).rejects.toMatchObject({ code: 'not_found' });
  });
});

test('an API key is shown once: its replay has null in its place', async () => {
  const key = newKey();
  const make = () => store.services.apiKeys.create(store.caller, { name: 'ci', level: 'standard' }, key);
  const first = await make();
  expect(first.value.key).toMatch(/^oclaw_live_/);
  expect((await make()).value).toEqual({ ...first.value, key: null });
});

describe('an interrupt', () => {
  const interrupt = (session: string, key: Idempotency) =>
    store.services.sessions.interrupt(store.caller, session, key);

  beforeEach(() => {
    interrupts.length = 0;
  });

  test('stops the reply that it meant at first, and never a later one', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    const key = newKey();
    await store.open(message, null);
    const answer = await interrupt(session, key);
    expect(answer.value.message).toMatchObject({ id: message.replyId, status: 'interrupted' });
    expect(interrupts).toEqual([message.replyId]);

    const next = await store.send(session, 'next');
    await store.open(next, message.replyId);
    expect(await interrupt(session, key)).toEqual({ value: answer.value, replayed: true });
    expect(interrupts).toEqual([message.replyId]);
    expect((await store.messageRow(next.replyId)).status).toBe('in_progress');
  });

  test('twice at once ends the reply once, and its workflow is told once', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    await store.open(message, null);
    const key = newKey();
    const answers = await Promise.all([interrupt(session, key), interrupt(session, key)]);
    expect(answers.map(({ value }) => value.message?.status)).toEqual(['interrupted', 'interrupted']);
    expect(answers.map(({ replayed }) => replayed).sort()).toEqual([false, true]);
    const story = await store.story(session, message.replyId);
    expect(story.filter((type) => type === 'interrupted')).toHaveLength(1);
    expect(interrupts).toEqual([message.replyId]);
  });

  test('that met an idle session stops nothing later either', async () => {
    const session = await store.createSession();
    const key = newKey();
    expect(await interrupt(session, key)).toMatchObject({ value: { message: null }, replayed: false });
    await store.open(await store.send(session), null);
    expect(await interrupt(session, key)).toMatchObject({ value: { message: null }, replayed: true });
    expect(interrupts).toEqual([]);
  });
});

test('after a day a key is free again, also before the sweep has removed it', async () => {
  const key = newKey();
  const first = await create(key);
  nowMs += IDEMPOTENCY_KEPT_MS - 1;
  expect(await create(key)).toEqual({ id: first.id, replayed: true });
  nowMs += 1;
  const second = await create({ ...key, fingerprint: 'other' });
  expect(second).toMatchObject({ replayed: false });
  expect(await create({ ...key, fingerprint: 'other' })).toEqual({ id: second.id, replayed: true });
});

test('the sweep removes what is older than a day, and nothing else', async () => {
  const old = newKey();
  await create(old);
  nowMs += IDEMPOTENCY_KEPT_MS;
  const young = newKey();
  await create(young);
  await store.sweep.run();
  const left = await keysLeft();
  expect(left).toContain(young.key);
  expect(left).not.toContain(old.key);
});

test('a key keeps what its request has come to, as JSON', async () => {
  const key = newKey();
  const { id } = await create(key);
  const rows = await store.db
    .selectFrom('idempotency_keys')
    .select('result')
    .where('key', '=', key.key)
    .execute();
  expect(rows.map(({ result }) => JSON.parse(result ?? ''))).toEqual([{ id }]);
});
