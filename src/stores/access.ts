// Accounts and API keys.
import type { Transaction } from 'kysely';
import { newId } from '../ids.ts';
import { type Keyset, page } from './keyset.ts';
import type { ApiKeyRow, Tables } from './schema.ts';
import { locked, type Store } from './store.ts';

/** Writes that belong to the same transaction as the change. */
type InTransaction = (rows: Transaction<Tables>) => Promise<void>;
const nothing: InTransaction = async () => undefined;

interface Revoking {
  accountId: string;
  id: string;
  now: number;
}

/** Outcome of a revocation: revoked now, unknown (or revoked before), or kept as the account's last admin key. */
export type Revoked = 'revoked' | 'unknown' | 'last_admin';

export type AccessStore = ReturnType<typeof createAccessStore>;

export function createAccessStore(store: Store) {
  const { db } = store;

  /** Returns the id of the account with this name and creates the account if it is new. */
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

  /** @param first Runs before the insert in the same transaction. */
  const insertKey = (row: ApiKeyRow, first: InTransaction = nothing): Promise<void> =>
    db.transaction().execute(async (rows) => {
      await first(rows);
      await rows.insertInto('api_keys').values(row).execute();
    });

  /** An existing key stays unchanged. */
  const ensureKey = async (row: ApiKeyRow): Promise<void> => {
    await db
      .insertInto('api_keys')
      .values(row)
      .onConflict((conflict) => conflict.column('hash').doNothing())
      .execute();
  };

  const getKey = (id: string): Promise<ApiKeyRow> =>
    db.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

  const findKey = (id: string): Promise<ApiKeyRow | undefined> =>
    db.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst();

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

  const revokeKey = (key: Revoking, first: InTransaction = nothing) => revoke(store, key, first);

  return {
    ensureAccount,
    insertKey,
    ensureKey,
    getKey,
    findKey,
    findByHash,
    touch,
    hasKeys,
    listKeys,
    revokeKey,
  };
}

const countsAsAdmin = ({ level, expires_at }: ApiKeyRow, now: number): boolean =>
  level === 'admin' && (expires_at === null || expires_at > now);

function revoke(store: Store, { accountId, id, now }: Revoking, first: InTransaction): Promise<Revoked> {
  return store.db.transaction().execute(async (rows) => {
    // Two admins who revoke each other's key at once take turns, so an admin key is left.
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
    await first(rows);
    await rows.updateTable('api_keys').set({ revoked_at: now }).where('id', '=', id).execute();
    return 'revoked';
  });
}
