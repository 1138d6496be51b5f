// Accounts and API keys.
import { newId } from '../ids.ts';
import { type Keyset, page } from './keyset.ts';
import type { ApiKeyRow } from './schema.ts';
import { locked, type Store } from './store.ts';

export type AccessStore = ReturnType<typeof createAccessStore>;

export function createAccessStore(store: Store) {
  const { db } = store;

  /** The account of that name, made when it is new. */
  async function ensureAccount(name: string, now: number): Promise<string> {
    await db
      .insertInto('accounts')
      .values({ id: newId('acct'), name, created_at: now })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute();
    const row = await db
      .selectFrom('accounts')
      .select('id')
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    return row.id;
  }

  const insertKey = async (row: ApiKeyRow): Promise<void> => {
    await db.insertInto('api_keys').values(row).execute();
  };

  const findByHash = (hash: string): Promise<ApiKeyRow | undefined> =>
    db.selectFrom('api_keys').selectAll().where('hash', '=', hash).executeTakeFirst();

  const touch = async (id: string, now: number): Promise<void> => {
    await db.updateTable('api_keys').set({ last_used_at: now }).where('id', '=', id).execute();
  };

  const hasKeys = async (): Promise<boolean> =>
    (await db.selectFrom('api_keys').select('id').limit(1).executeTakeFirst()) !== undefined;

  function listKeys(query: Keyset & { accountId: string }): Promise<ApiKeyRow[]> {
    const ofAccount = db.selectFrom('api_keys').selectAll().where('account_id', '=', query.accountId);
    return page(ofAccount, query).execute();
  }

  const revokeKey = (accountId: string, id: string, now: number) => revoke(store, accountId, id, now);

  return { ensureAccount, insertKey, findByHash, touch, hasKeys, listKeys, revokeKey };
}

const countsAsAdmin = ({ level, expires_at }: ApiKeyRow, now: number): boolean =>
  level === 'admin' && (expires_at === null || expires_at > now);

/** @returns what became of it: revoked now, unknown (or revoked before), or kept as the account's last admin key. */
function revoke(
  store: Store,
  accountId: string,
  id: string,
  now: number,
): Promise<'revoked' | 'unknown' | 'last_admin'> {
  return store.db.transaction().execute(async (rows) => {
    // Two admins who revoke each other's key at once take turns, so that one key is left.
    const account = rows.selectFrom('accounts').select('id').where('id', '=', accountId);
    await locked(store, account).execute();
    const live = await rows
      .selectFrom('api_keys')
      .selectAll()
      .where('account_id', '=', accountId)
      .where('revoked_at', 'is', null)
      .execute();
    const key = live.find((row) => row.id === id);
    if (!key) return 'unknown';
    const admins = live.filter((row) => countsAsAdmin(row, now));
    if (admins.length === 1 && admins[0]?.id === id) return 'last_admin';
    await rows.updateTable('api_keys').set({ revoked_at: now }).where('id', '=', id).execute();
    return 'revoked';
  });
}
