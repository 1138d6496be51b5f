// Accounts, keys, sessions, the message tree, the session log, the ledger of model calls.
import type { CreateTableBuilder, Kysely } from 'kysely';

const usageColumns = <T extends string, C extends string>(table: CreateTableBuilder<T, C>) =>
  table
    .addColumn('input_tokens', 'bigint', (column) => column.notNull())
    .addColumn('output_tokens', 'bigint', (column) => column.notNull())
    .addColumn('cache_creation_input_tokens', 'bigint', (column) => column.notNull())
    .addColumn('cache_read_input_tokens', 'bigint', (column) => column.notNull())
    .addColumn('cost_nano_usd', 'bigint', (column) => column.notNull());

async function createAccess(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('accounts')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('api_keys')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.id'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('level', 'text', (column) => column.notNull())
    .addColumn('hash', 'text', (column) => column.notNull().unique())
    .addColumn('prefix', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint')
    .addColumn('last_used_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .execute();
  await db.schema
    .createIndex('api_keys_by_account')
    .on('api_keys')
    .columns(['account_id', 'created_at', 'id'])
    .execute();
  await db.schema
    .createTable('idempotency_keys')
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('route', 'text', (column) => column.notNull())
    .addColumn('key', 'text', (column) => column.notNull())
    .addColumn('fingerprint', 'text', (column) => column.notNull())
    .addColumn('resource_id', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('idempotency_keys_pk', ['account_id', 'route', 'key'])
    .execute();
  await db.schema
    .createIndex('idempotency_keys_by_age')
    .on('idempotency_keys')
    .column('created_at')
    .execute();
}

async function createSessions(db: Kysely<unknown>): Promise<void> {
  await usageColumns(
    db.schema.createTable('sessions').addColumn('id', 'text', (column) => column.primaryKey()),
  )
    .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.id'))
    .addColumn('parent_session_id', 'text')
    .addColumn('model', 'text', (column) => column.notNull())
    .addColumn('system_prompt', 'text')
    .addColumn('tools', 'text', (column) => column.notNull())
    .addColumn('metadata', 'text', (column) => column.notNull())
    .addColumn('turn_options', 'text', (column) => column.notNull())
    .addColumn('on_busy', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('ended_reason', 'text')
    .addColumn('ended_at', 'bigint')
    .addColumn('expires_after_seconds', 'bigint')
    .addColumn('expires_at', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addColumn('seq', 'bigint', (column) => column.notNull())
    .addColumn('fence', 'bigint', (column) => column.notNull())
    .addColumn('head', 'text')
    .addColumn('open_reply_id', 'text')
    .addColumn('next_position', 'bigint', (column) => column.notNull())
    .addColumn('message_count', 'bigint', (column) => column.notNull())
    .addColumn('deleted_at', 'bigint')
    .addColumn('end_signalled_at', 'bigint')
    .addColumn('check_at', 'bigint', (column) => column.notNull())
    .addColumn('lease_worker', 'text')
    .addColumn('lease_run_id', 'text')
    .addColumn('lease_activity_id', 'text')
    .addColumn('lease_attempt', 'bigint')
    .addColumn('lease_renewed_at', 'bigint')
    .execute();
  await db.schema
    .createIndex('sessions_by_account')
    .on('sessions')
    .columns(['account_id', 'created_at', 'id'])
    .execute();
  await db.schema
    .createIndex('sessions_by_expiry')
    .on('sessions')
    .columns(['status', 'expires_at'])
    .execute();
  await db.schema
    .createTable('session_metadata')
    .addColumn('session_id', 'text', (column) => column.notNull().references('sessions.id'))
    .addColumn('key', 'text', (column) => column.notNull())
    .addColumn('value', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('session_metadata_pk', ['session_id', 'key'])
    .execute();
  await db.schema
    .createIndex('session_metadata_by_value')
    .on('session_metadata')
    .columns(['key', 'value'])
    .execute();
}

async function createMessages(db: Kysely<unknown>): Promise<void> {
  await usageColumns(
    db.schema.createTable('messages').addColumn('id', 'text', (column) => column.primaryKey()),
  )
    .addColumn('session_id', 'text', (column) => column.notNull().references('sessions.id'))
    .addColumn('account_id', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('parent_id', 'text')
    .addColumn('depth', 'bigint')
    .addColumn('position', 'bigint')
    .addColumn('reply_id', 'text')
    .addColumn('text', 'text', (column) => column.notNull())
    .addColumn('blocks', 'text', (column) => column.notNull())
    .addColumn('turn_options', 'text', (column) => column.notNull())
    .addColumn('model', 'text')
    .addColumn('stop_reason', 'text')
    .addColumn('error', 'text')
    .addColumn('copy_of', 'text')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('completed_at', 'bigint')
    .addColumn('signalled_at', 'bigint')
    .execute();
  await db.schema.createIndex('messages_by_depth').on('messages').columns(['session_id', 'depth']).execute();
  await db.schema
    .createIndex('messages_by_status')
    .on('messages')
    .columns(['status', 'session_id', 'position'])
    .execute();
  await db.schema.createIndex('messages_by_reply').on('messages').column('reply_id').execute();
  await db.schema
    .createTable('steps')
    .addColumn('reply_id', 'text', (column) => column.notNull())
    .addColumn('n', 'bigint', (column) => column.notNull())
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('blocks', 'text', (column) => column.notNull())
    .addColumn('stop_reason', 'text')
    .addColumn('completed_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('steps_pk', ['reply_id', 'n'])
    .execute();
}

async function createLog(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('events')
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('seq', 'bigint', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('message_id', 'text')
    .addColumn('data', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('events_pk', ['session_id', 'seq'])
    .execute();
  await db.schema.createIndex('events_by_message').on('events').columns(['message_id', 'seq']).execute();
  await usageColumns(
    db.schema.createTable('model_calls').addColumn('id', 'text', (column) => column.primaryKey()),
  )
    .addColumn('session_id', 'text', (column) => column.notNull())
    .addColumn('reply_id', 'text', (column) => column.notNull())
    .addColumn('step', 'bigint', (column) => column.notNull())
    .addColumn('model', 'text', (column) => column.notNull())
    .addColumn('outcome', 'text', (column) => column.notNull())
    .addColumn('error_code', 'text')
    .addColumn('ended_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex('model_calls_by_reply')
    .on('model_calls')
    .columns(['reply_id', 'step'])
    .execute();
}

export async function up(db: Kysely<unknown>): Promise<void> {
  await createAccess(db);
  await createSessions(db);
  await createMessages(db);
  await createLog(db);
}
