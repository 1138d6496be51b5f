// Keys of the version before and of this one replay in both: during an upgrade, processes of both run side by side.
import { sql } from 'kysely';
import type { Idempotency, Written } from '../../src/services/ports.ts';
import type { PreparedCall } from '../../src/turns/tool-calls.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

let count = 0;
const newKey = (route: string): Idempotency => {
  count += 1;
  return { key: `key-${count}`, route, fingerprint: 'same' };
};

/** Stores a key as processes of that version do, before the upgrade or beside this version. */
async function storeFormer(route: string, resourceId: string): Promise<Idempotency> {
  const key = newKey(route);
  await sql`insert into idempotency_keys (account_id, route, key, fingerprint, resource_id, created_at)
    values (${store.caller.accountId}, ${route}, ${key.key}, ${key.fingerprint}, ${resourceId}, ${Date.now()})`.execute(
    store.db,
  );
  return key;
}

/** What processes of that version read. */
async function readFormer({ key }: Idempotency): Promise<string> {
  const row = store.db.selectFrom('idempotency_keys').select('resource_id').where('key', '=', key);
  return (await row.executeTakeFirstOrThrow()).resource_id;
}

/** A session whose turn waits for the results of two calls. */
async function waitingCalls() {
  const session = await store.createSession();
  const open = await store.open(await store.send(session), null);
  const call = (providerId: string): PreparedCall => ({
    ...{ providerId, name: 'look_up', type: 'custom', parameters: {} },
    ...{ refusal: null, timeoutSeconds: null, onTimeout: 'error' },
  });
  await store.turns.complete(writerOf(open), '', replyOf(''), [call('a'), call('b')]);
  const calls = await store.rows.openToolCalls(open.reply.id);
  return { session, calls: calls.map(({ id }) => id) };
}

const writes: {
  name: string;
  /** The call, made once, with how that version stores its result. */
  prepare(): Promise<{
    route: string;
    write(of: TestStore, key: Idempotency): Promise<Written<unknown>>;
    former(first: any): string;
  }>;
}[] = [
  {
    name: 'creating a session',
    prepare: async () => ({
      route: 'POST /v1/sessions',
      write: (of, key) => of.services.sessions.create(of.caller, { model: 'claude-haiku' }, key),
      former: ({ id }) => id,
    }),
  },
  {
    name: 'sending a message',
    async prepare() {
      const session = await store.createSession();
      return {
        route: `POST /v1/sessions/${session}/messages`,
        write: (of, key) => of.services.messages.accept(of.caller, session, { content: 'Hello' }, key),
        former: ({ userMessageId }) => userMessageId,
      };
    },
  },
  {
    name: 'interrupting a reply',
    async prepare() {
      const session = await store.createSession();
      await store.open(await store.send(session), null);
      return {
        route: `POST /v1/sessions/${session}/interrupt`,
        write: (of, key) => of.services.sessions.interrupt(of.caller, session, key),
        former: ({ message }) => message.id,
      };
    },
  },
  {
    name: 'interrupting an idle session',
    async prepare() {
      const session = await store.createSession();
      return {
        route: `POST /v1/sessions/${session}/interrupt`,
        write: (of, key) => of.services.sessions.interrupt(of.caller, session, key),
        former: () => '',
      };
    },
  },
  {
    name: 'submitting two results',
    async prepare() {
      const { session, calls } = await waitingCalls();
      const results = calls.map((id) => ({ tool_call_id: id, result: 'found' }));
      return {
        route: `POST /v1/sessions/${session}/tool-results`,
        write: (of, key) => of.services.toolCalls.submit(of.caller, session, { results }, key),
        former: () => calls.join(),
      };
    },
  },
  {
    name: 'replaying deliveries',
    async prepare() {
      const { id } = await store.createWebhook();
      await store.createSession();
      const range = { from: '2026-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' };
      return {
        route: `POST /v1/webhooks/${id}/replay`,
        write: (of, key) => of.services.deliveries.replay(of.caller, id, range, key),
        former: ({ count: replayed }) => String(replayed),
      };
    },
  },
];

/** Where a message stands in the log is not the same for a repeated request. */
const comparable = (value: unknown) => ({ ...(value as object), afterSeq: null });

test.each(writes)('$name is replayed from it, and that version replays ours', async ({ prepare }) => {
  const { route, write, former } = await prepare();
  const key = newKey(route);
  const first = await write(store, key);
  expect(await readFormer(key)).toBe(former(first.value));
  const again = await write(store, await storeFormer(route, former(first.value)));
  expect(again.replayed).toBe(true);
  expect(comparable(again.value)).toEqual(comparable(first.value));
});
