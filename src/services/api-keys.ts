// API keys: shown once, stored as keyed hashes, revoked immediately.
import { createHmac } from 'node:crypto';
import type { ApiKey, CreatedApiKey, Level } from '../contracts/api-keys.ts';
import { deleted, toTimestamp, toTimestampOrNull } from '../contracts/common.ts';
import { ApiError, notFound } from '../contracts/errors.ts';
import { newId } from '../ids.ts';
import type { AccessStore, Revoked } from '../stores/access.ts';
import type { ApiKeyRow } from '../stores/schema.ts';
import { isWellFormed, newKey, prefixOf } from './api-key-format.ts';
import type { Once, Resource } from './idempotency.ts';
import type { ApiKeysService, Caller } from './ports.ts';
import { byCreation, creationOf, sliceOf } from './slices.ts';

/** Precision of `last_used_at`: at most one write per minute and key, however busy the key is. */
const TOUCH_INTERVAL_MS = 60_000;

export interface ApiKeysDeps {
  access: AccessStore;
  /** The pepper. Without the pepper, stolen hashes are useless. */
  secretKey: string;
  once: Once;
  now: () => number;
  /** Called occasionally when a key is accepted, because an accepted key proves the secret key right. */
  onProven?: () => Promise<void>;
}

export type ApiKeys = ReturnType<typeof createApiKeys>;

const view = (row: ApiKeyRow): ApiKey => ({
  id: row.id,
  name: row.name,
  level: row.level,
  prefix: row.prefix,
  created_at: toTimestamp(row.created_at),
  expires_at: toTimestampOrNull(row.expires_at),
  last_used_at: toTimestampOrNull(row.last_used_at),
  revoked_at: toTimestampOrNull(row.revoked_at),
});

function refuseUnrevoked(outcome: Revoked): void {
  if (outcome === 'unknown') throw notFound('API key');
  if (outcome === 'last_admin')
    throw new ApiError(
      'last_admin_key',
      'This is the last admin key of the account; create another one first',
    );
}

export function createApiKeys({ access, secretKey, once, now, onProven }: ApiKeysDeps) {
  const hash = (key: string): string => createHmac('sha256', secretKey).update(key).digest('hex');

  const newRow = (accountId: string, name: string, level: Level, key: string): ApiKeyRow => ({
    id: newId('key'),
    account_id: accountId,
    name,
    level,
    hash: hash(key),
    prefix: prefixOf(key),
    created_at: now(),
    expires_at: null,
    last_used_at: null,
    revoked_at: null,
  });

  async function authenticate(presented: string): Promise<Caller> {
    const row = isWellFormed(presented) ? await access.findByHash(hash(presented)) : undefined;
    if (!row || row.revoked_at !== null) throw new ApiError('invalid_api_key', 'This API key is not valid');
    if (row.expires_at !== null && row.expires_at <= now())
      throw new ApiError('expired_api_key', 'This API key has expired');
    // A read-only store, as on a full disk, still serves reads. A failed write here is no reason to refuse them.
    if (now() - (row.last_used_at ?? 0) > TOUCH_INTERVAL_MS)
      await Promise.all([access.touch(row.id, now()), onProven?.()]).catch(() => undefined);
    return { accountId: row.account_id, keyId: row.id, level: row.level };
  }

  const service: ApiKeysService = {
    authenticate,
    create(caller, { name, level }, idempotency) {
      const key = newKey();
      const row = newRow(caller.accountId, name, level, key);
      return once<CreatedApiKey, Resource>(
        caller,
        idempotency,
        async (keep) => {
          await access.insertKey(row, (rows) => keep(rows, { id: row.id }));
          return { ...view(row), key };
        },
        async ({ id }) => ({ ...view(await access.getKey(id)), key: null }),
      );
    },
    async list(caller, page) {
      const rows = await access.listKeys({ accountId: caller.accountId, ...byCreation(page) });
      const { data, next } = sliceOf(rows, page.limit, creationOf);
      return { data: data.map(view), next };
    },
    revoke: (caller, keyId, idempotency) =>
      once(
        caller,
        idempotency,
        async (keep) => {
          const revoking = { accountId: caller.accountId, id: keyId, now: now() };
          refuseUnrevoked(await access.revokeKey(revoking, (rows) => keep(rows)));
          return deleted(keyId);
        },
        async () => deleted(keyId),
      ),
  };

  return {
    ...service,
    /** For the operator: a key for the account of that name. Creates the account and the key if they don't exist. */
    async createForAccount(accountName: string, level: Level, key = newKey()): Promise<string> {
      const accountId = await access.ensureAccount(accountName, now());
      await access.ensureKey(newRow(accountId, level, level, key));
      return key;
    },
    knows: async (key: string): Promise<boolean> => (await access.findByHash(hash(key))) !== undefined,
    hasKeys: access.hasKeys,
  };
}
