// What each look of the sweep reads: what it looks for, and not every session that there is. It looks every few seconds.
import type { KyselyPlugin, RootOperationNode } from 'kysely';
import { CompiledQuery, createQueryId } from 'kysely';
import { createDeliveryQueue } from '../../src/stores/delivery-queue.ts';
import { purgeIdempotency } from '../../src/stores/idempotency.ts';
import { createOutboxStore } from '../../src/stores/outbox.ts';
import { createSweepStore } from '../../src/stores/sweep.ts';
import { openTestStore, type TestStore } from '../support/store.ts';

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

/** One step of a plan, and what it goes by; a table that is read from its beginning to its end goes by nothing. */
interface Step {
  table: string;
  index: string | null;
  by: string | null;
}

async function planInSqlite({ sql, parameters }: CompiledQuery): Promise<Step[]> {
  const { rows } = await store.db.executeQuery<{ detail: string }>(
    CompiledQuery.raw(`explain query plan ${sql}`, [...parameters]),
  );
  const steps = rows.flatMap(({ detail }) => {
    const found =
      /^(?:SCAN|SEARCH) (\w+)(?: EXISTS)?(?: USING (?:COVERING )?INDEX (\w+))?(?: \((.*)\))?/.exec(detail);
    return found ? [{ table: found[1] ?? '', index: found[2] ?? null, by: found[3] ?? null }] : [];
  });
  return steps;
}

/** As it is for tables that are too large to be read: those of a test fit into one page, and would be. */
async function planInPostgres({ sql, parameters }: CompiledQuery): Promise<Step[]> {
  const rows = await store.db.transaction().execute(async (tx) => {
    for (const way of ['seqscan', 'hashjoin', 'mergejoin'])
      await tx.executeQuery(CompiledQuery.raw(`set local enable_${way} = off`));
    const explain = CompiledQuery.raw(`explain (format json) ${sql}`, [...parameters]);
    return (await tx.executeQuery<{ 'QUERY PLAN': { Plan: PostgresNode }[] }>(explain)).rows;
  });
  return rows.flatMap((row) => row['QUERY PLAN'].flatMap(({ Plan }) => stepsOf(Plan)));
}

interface PostgresNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Index Cond'?: string;
  Plans?: PostgresNode[];
}

function stepsOf(node: PostgresNode): Step[] {
  const below = (node.Plans ?? []).flatMap(stepsOf);
  const index = node['Index Name'] ?? null;
  // A bitmap of an index says in a node of its own by what it was made.
  if (node['Node Type'] === 'Bitmap Index Scan')
    return [{ table: '', index, by: node['Index Cond'] ?? null }];
  if (!/Scan/.test(node['Node Type']) || node['Node Type'] === 'Bitmap Heap Scan') return below;
  const table = node['Relation Name'] ?? '';
  return [...below, { table, index, by: node['Index Cond'] ?? null }];
}

const planOf = (query: CompiledQuery): Promise<Step[]> =>
  store.store.kind === 'postgres' ? planInPostgres(query) : planInSqlite(query);

type Look = (db: TestStore['db']) => Promise<unknown>;
const sweep = (db: TestStore['db']) => createSweepStore({ ...store.store, db });
const queue = (db: TestStore['db']) => createDeliveryQueue({ store: { ...store.store, db }, now: () => 5 });

const LOOKS: Record<string, Look> = {
  'lost leases': (db) => sweep(db).lostLeases('worker', 5),
  'lost signals': (db) => createOutboxStore({ ...store.store, db }).claimLost(5, 5),
  'sessions that owe an answer': (db) => sweep(db).owing(),
  'turns that nobody opens': (db) => sweep(db).unopened(1, 5),
  'owed answers': (db) => sweep(db).claimOwing(5, 6, false),
  'owed answers, also of those who wait': (db) => sweep(db).claimOwing(5, 6, true),
  'missed expiries': (db) => sweep(db).claimOverdue(5, 5, 6),
  'missed expiries of calls': (db) => sweep(db).claimOverdueCalls(5, 5, 6),
  'half deleted sessions': (db) => sweep(db).halfDeleted(5),
  'deleted sessions that are not erased': (db) => sweep(db).claimUnerased(5, 6),
  'stuck deliveries': (db) => queue(db).stuck(5),
  'old keys': (db) => purgeIdempotency(db, 5),
};

/** Indexes that hold nothing but what is looked for: they may be read from the beginning to the end. */
const NARROW = ['sessions_half_deleted', 'sessions_unerased'];

const isWhole = ({ table, index, by }: Step): boolean =>
  // All endpoints are looked at. The outbox holds nothing but what is not acknowledged.
  !['webhooks', 'outbox'].includes(table) && by === null && !NARROW.includes(index ?? '');

/** An index on the status alone would lead to all active sessions. */
const isAllActive = ({ table, by }: Step): boolean =>
  table === 'sessions' && /^\(?status ?= ?('active'::text|\?)\)?$/.test(by ?? '');

test.each(Object.entries(LOOKS))('%s', async (_name, look) => {
  const statements = await statementsOf(look);
  expect(statements.length).toBeGreaterThan(0);
  const steps = (await Promise.all(statements.map(planOf))).flat();
  expect(steps.length).toBeGreaterThan(0);
  expect(steps.filter(isWhole)).toEqual([]);
  expect(steps.filter(isAllActive)).toEqual([]);
});
