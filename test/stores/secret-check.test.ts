// A database knows the secret that it was made with, also when several processes start at once.
import { assertSecret, keepSecret } from '../../src/stores/secret-check.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

let store: TestStore;
beforeEach(async () => {
  store = await openTestStore();
});
afterEach(() => store.close());

const SECRET = 's'.repeat(32);

test('the first start keeps a value that says nothing of the secret, and later ones go by it', async () => {
  await assertSecret(store.db, SECRET);
  await assertSecret(store.db, SECRET);
  const rows = await store.db.selectFrom('installation').selectAll().execute();
  expect(rows).toEqual([{ name: 'secret_check', value: expect.stringMatching(/^[0-9a-f]{64}$/) }]);
});

test.each([`${SECRET}s`, SECRET.slice(1), '', SECRET.toUpperCase()])(
  "another secret '%s' is refused in words that name the variable and the file",
  async (other) => {
    await assertSecret(store.db, SECRET);
    await expect(assertSecret(store.db, other)).rejects.toThrow(
      /OPENCLAW_SECRET_KEY, or secret\.key.*backup/,
    );
  },
);

test('of processes that start at once with different secrets one secret wins', async () => {
  const outcomes = await Promise.allSettled(
    ['a', 'b', 'c', 'd'].map((letter) => assertSecret(store.db, letter.repeat(32))),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('a database of an earlier version takes any secret, until one has made a key work', async () => {
  await store.services.apiKeys.create(store.caller, { name: 'k', level: 'admin' }, null);
  await assertSecret(store.db, 'wrong'.repeat(8));
  await assertSecret(store.db, SECRET);
  await keepSecret(store.db, SECRET);
  await assertSecret(store.db, SECRET);
  await expect(assertSecret(store.db, 'wrong'.repeat(8))).rejects.toThrow(/not the one/);
});
