// Accounts and keys: nobody locks themselves out, and nobody touches another account's keys.
import { newId, randomText } from '../../src/ids.ts';
import { createAccessStore } from '../../src/stores/access.ts';
import type { ApiKeyRow } from '../../src/stores/schema.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

const NOW_MS = Date.parse('2026-03-01T12:00:00Z');
let store: TestStore;
let access: ReturnType<typeof createAccessStore>;
beforeAll(async () => {
  store = await openTestStore();
  access = createAccessStore(store.store);
});
afterAll(() => store.close());

const newAccount = () => access.ensureAccount(randomText(10), NOW_MS);

async function newKey(accountId: string, changes: Partial<ApiKeyRow> = {}): Promise<string> {
  const id = newId('key');
  await access.insertKey({
    ...{
      id,
      account_id: accountId,
      name: 'test',
      level: 'admin',
      hash: randomText(32),
      prefix: 'oclaw_live_',
    },
    ...{ created_at: NOW_MS, expires_at: null, last_used_at: null, revoked_at: null },
    ...changes,
  });
  return id;
}

const revoke = (accountId: string, id: string) => access.revokeKey({ accountId, id, now: NOW_MS });

test('an account is made once, however many ask for it at once', async () => {
  const name = randomText(10);
  const ids = await Promise.all([1, 2, 3, 4].map(() => access.ensureAccount(name, NOW_MS)));
  expect(new Set(ids).size).toBe(1);
});

describe('the last admin key of an account', () => {
  test('can not be revoked; other levels can, and it can when there is another one', async () => {
    const account = await newAccount();
    const [admin, standard] = [await newKey(account), await newKey(account, { level: 'standard' })];
    expect(await revoke(account, admin)).toBe('last_admin');
    expect(await revoke(account, standard)).toBe('revoked');
    const second = await newKey(account);
    expect(await revoke(account, admin)).toBe('revoked');
    expect(await revoke(account, second)).toBe('last_admin');
  });

  test('is the last although expired and revoked ones are still listed', async () => {
    const account = await newAccount();
    const admin = await newKey(account);
    await newKey(account, { expires_at: NOW_MS });
    await newKey(account, { revoked_at: NOW_MS - 1 });
    expect(await revoke(account, admin)).toBe('last_admin');
  });

  test('is not protected by another account’s', async () => {
    const [account, neighbour] = [await newAccount(), await newAccount()];
    const admin = await newKey(account);
    await newKey(neighbour);
    expect(await revoke(account, admin)).toBe('last_admin');
  });

  test('stays when all are revoked at once', async () => {
    const account = await newAccount();
    const keys = await Promise.all(Array.from({ length: 6 }, () => newKey(account)));
    const outcomes = await Promise.all(keys.map((key) => revoke(account, key)));
    expect(outcomes.sort()).toEqual(['last_admin', ...Array(5).fill('revoked')]);
  });

  test('that has expired can be removed', async () => {
    const account = await newAccount();
    const expired = await newKey(account, { expires_at: NOW_MS - 1 });
    await newKey(account);
    expect(await revoke(account, expired)).toBe('revoked');
  });
});

describe('a key', () => {
  test('is revoked once, and by its own account only', async () => {
    const [account, neighbour] = [await newAccount(), await newAccount()];
    await newKey(account);
    const key = await newKey(account, { level: 'standard' });
    expect(await revoke(neighbour, key)).toBe('unknown');
    expect(await revoke(account, key)).toBe('revoked');
    expect(await revoke(account, key)).toBe('unknown');
    expect(await revoke(account, 'key_unknown')).toBe('unknown');
  });

  test('is listed with those of its account, in pages', async () => {
    const account = await newAccount();
    await newKey(await newAccount());
    const keys = await Promise.all(
      [0, 1, 2, 3, 4].map((n) => newKey(account, { created_at: NOW_MS + (n >> 1) })),
    );
    const found: string[] = [];
    let after: [number, string] | null = null;
    for (let page = 0; page < 3; page += 1) {
      const rows: ApiKeyRow[] = await access.listKeys({ accountId: account, order: 'asc', after, limit: 2 });
      found.push(...rows.map(({ id }) => id));
      const last = rows.at(-1);
      after = last ? [last.created_at, last.id] : null;
    }
    expect([...found].sort()).toEqual([...keys].sort());
    expect(found.at(-1)).toBe(keys[4]);
  });
});
