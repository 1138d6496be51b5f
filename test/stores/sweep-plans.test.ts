// What each look of the sweep reads: what it looks for, and not every session that there is. It looks every few seconds.
import type { KyselyPlugin, RootOperationNode } from 'kysely';
import { CompiledQuery, createQueryId } from 'kysely';
import { createDeliveryQueue } from '../../src/stores/delivery-queue.ts';
import { purgeIdempotency } from '../../src/stores/idempotency.ts';
import { createSweepStore } from '../../src/stores/sweep.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

// PostgreSQL chooses by the rows that it has, and takes none of these ways while a table fits into one page.
const isSqlite = process.env.TEST_DATABASE !== 'postgres';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

/** Every statement that some work gives to the database. */
async function statementsOf(work: Look): Promise<CompiledQuery[]> {
  const nodes = new Map<unknown, RootOperationNode>();
  const executed: RootOperationNode[] = [];
  const spy: KyselyPlugin = {
    transformQuery({ queryId, node }) {
      nodes.set(queryId, node);
      return node;
    },
    // Of a part of another statement there is no result.
    async transformResult({ queryId, result }) {
      executed.push(...[nodes.get(queryId) ?? []].flat());
      return result;
    },
  };
  await work(store.db.withPlugin(spy));
  return executed.map((node) => store.db.getExecutor().compileQuery(node, createQueryId()));
}

async function planOf({ sql, parameters }: CompiledQuery): Promise<string[]> {
  const { rows } = await store.db.executeQuery<{ detail: string }>(
    CompiledQuery.raw(`explain query plan ${sql}`, [...parameters]),
  );
  return rows.map(({ detail }) => detail);
}

type Look = (db: TestStore['db']) => Promise<unknown>;
const sweep = (db: TestStore['db']) => createSweepStore({ ...store.store, db });
const queue = (db: TestStore['db']) => createDeliveryQueue({ store: { ...store.store, db }, now: () => 5 });

const LOOKS: Record<string, Look> = {
  'lost leases': (db) => sweep(db).lostLeases('worker', 5),
  'unsignalled messages': (db) => sweep(db).unsignalledMessages(5),
  'unsignalled ends': (db) => sweep(db).unsignalledEnds(5),
  'unsignalled results': (db) => sweep(db).unsignalledResults(5),
  'sessions that owe an answer': (db) => sweep(db).owing(),
  'turns that nobody opens': (db) => sweep(db).unopened(1, 5),
  'owed answers': (db) => sweep(db).claimOwing(5, 6, false),
  'owed answers, also of those who wait': (db) => sweep(db).claimOwing(5, 6, true),
  'missed expiries': (db) => sweep(db).claimOverdue(5, 5, 6),
  'missed expiries of calls': (db) => sweep(db).claimOverdueCalls(5, 5, 6),
  'half deleted sessions': (db) => sweep(db).halfDeleted(5),
  'stuck deliveries': (db) => queue(db).stuck(5),
  'old keys': (db) => purgeIdempotency(db, 5),
};

(isSqlite ? test : test.skip).each(Object.entries(LOOKS))('%s', async (_name, look) => {
  const statements = await statementsOf(look);
  expect(statements.length).toBeGreaterThan(0);
  const plans = (await Promise.all(statements.map(planOf))).flat();
  expect(plans.length).toBeGreaterThan(0);
  // All endpoints are looked at; an index that holds nothing else than what is looked for may be read from its beginning to its end.
  const isNarrow = /^SCAN (webhooks|sessions USING INDEX sessions_(end_unsignalled|half_deleted))\b/;
  expect(plans.filter((step) => step.startsWith('SCAN') && !isNarrow.test(step))).toEqual([]);
  // An index on the status alone leads to all active sessions: there is none, and none is to be made.
  expect(plans.filter((step) => / sessions USING INDEX \w+ \(status=\?\)$/.test(step))).toEqual([]);
});
