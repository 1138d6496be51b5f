// An Idempotency-Key and what it made exist together, for a day.
import { IDEMPOTENCY_KEPT_MS } from '../../src/stores/idempotency.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let nowMs = Date.parse('2026-03-01T12:00:00Z');
let store: TestStore;
let other: TestStore;
beforeAll(async () => {
  store = await openTestStore({ now: () => nowMs });
  other = await openTestStore({ file: store.file, now: () => nowMs, account: 'other' });
});
afterAll(async () => {
  await other.close();
  await store.close();
});

let count = 0;
const newKey = (fields: object = {}) => {
  count += 1;
  return { key: `key-${count}`, route: 'POST /v1/sessions', fingerprint: 'same', ...fields };
};

const create = async (key: ReturnType<typeof newKey>, of = store) => {
  const { session, replayed } = await of.sessions.create(of.caller, { model: 'claude-haiku' }, key);
  return { id: session.id, replayed };
};

const keysLeft = async () =>
  (await store.db.selectFrom('idempotency_keys').select('key').execute()).map(({ key }) => key);

test('the same request again gives the same session', async () => {
  const key = newKey();
  const first = await create(key);
  expect(first.replayed).toBe(false);
  expect(await create(key)).toEqual({ id: first.id, replayed: true });
});

test('twenty at once make one session', async () => {
  const key = newKey();
  const made = await Promise.all(Array.from({ length: 20 }, () => create(key)));
  expect(new Set(made.map(({ id }) => id)).size).toBe(1);
  expect(made.filter(({ replayed }) => !replayed)).toHaveLength(1);
});

test('twenty at once make one message', async () => {
  const session = await store.createSession();
  const key = newKey({ route: `POST /v1/sessions/${session}/messages` });
  const accept = () => store.messages.accept(store.caller, session, { content: 'Hello' }, key);
  const made = await Promise.all(Array.from({ length: 20 }, accept));
  expect(new Set(made.map(({ replyId }) => replyId)).size).toBe(1);
  expect(await store.rows.countQueued(session)).toBe(1);
});

test('another body under the same key is refused; another route and another account are not', async () => {
  const key = newKey();
  const first = await create(key);
  await expect(create({ ...key, fingerprint: 'other' })).rejects.toMatchObject({
    code: 'idempotency_key_reused',
  });
  expect((await create({ ...key, route: 'POST /v1/elsewhere' })).id).not.toBe(first.id);
  expect((await create(key, other)).id).not.toBe(first.id);
});

test('what failed is not kept: the key can be used again', async () => {
  const session = await store.createSession();
  const key = newKey();
  await store.send(session);
  const reject = { content: 'Hello', on_busy: 'reject' } as const;
  const accept = () => store.messages.accept(store.caller, session, reject, key);
  await expect(accept()).rejects.toMatchObject({ code: 'session_busy' });
  expect(await keysLeft()).not.toContain(key.key);
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
