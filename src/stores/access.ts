// Accounts and API keys.
import { newId } from '../ids.ts';
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

  function listKeys(query: {
    accountId: string;
    order: 'asc' | 'desc';
    after: { createdAt: number; id: string } | null;
    limit: number;
  }): Promise<ApiKeyRow[]> {
    const { after, order } = query;
    const beyond = order === 'desc' ? '<' : '>';
    let select = db.selectFrom('api_keys').selectAll().where('account_id', '=', query.accountId);
    if (after)
      select = select.where(({ eb, and, or }) =>
        or([
          eb('created_at', beyond, after.createdAt),
          and([eb('created_at', '=', after.createdAt), eb('id', beyond, after.id)]),
        ]),
      );
    return select.orderBy('created_at', order).orderBy('id', order).limit(query.limit).execute();
  }

  /** @returns what became of it: revoked now, unknown (or revoked before), or kept as the account's last admin key. */
  const revokeKey = (
    accountId: string,
    id: string,
    now: number,
  ): Promise<'revoked' | 'unknown' | 'last_admin'> =>
    db.transaction().execute(async (rows) => {
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
      const admins = live.filter(
        (row) => row.level === 'admin' && (row.expires_at === null || row.expires_at > now),
      );
      if (key.level === 'admin' && admins.length === 1 && admins[0]?.id === id) return 'last_admin';
      await rows.updateTable('api_keys').set({ revoked_at: now }).where('id', '=', id).execute();
      return 'revoked';
    });

  return { ensureAccount, insertKey, findByHash, touch, hasKeys, listKeys, revokeKey };
}
