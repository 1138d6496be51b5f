// Scans sessions for a list in pieces. Each piece reads a bounded number of rows, however many sessions there are.
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { SessionRange, SessionTraits } from '../contracts/sessions.ts';
import { type Keyset, page } from './keyset.ts';
import type { SessionRow, Tables } from './schema.ts';

export interface SessionQuery extends Keyset, SessionTraits, SessionRange {
  accountId: string;
  /** All pairs must match. The scan reads the sessions with the first pair. */
  pairs: MetadataPair[];
}

export type MetadataPair = [key: string, value: string];

/** A scanned session: its place in the list, and its size if it matches. */
export interface LookedAt extends Pick<SessionRow, 'id' | 'created_at'> {
  /** Null when the session does not match. */
  bytes: number | null;
}

/** Bytes that a list reads for a session. A list shows tool names only, but the database reads the whole column. */
const summaryBytes = sql<number>`2048 + octet_length(tools) + octet_length(metadata) + octet_length(turn_options)`;

/** The condition of each filter. A filter that is missing here does not compile. */
type Conditions<Filters> = {
  [Name in keyof Filters]-?: (value: NonNullable<Filters[Name]>) => RawBuilder<unknown>;
};

const TRAITS: Conditions<SessionTraits> = {
  status: (statuses) => sql`status in (${sql.join(statuses)})`,
  model: (model) => sql`model = ${model}`,
};

const RANGE: Conditions<SessionRange> = {
  createdAfterMs: (ms) => sql`created_at > ${ms}`,
  createdBeforeMs: (ms) => sql`created_at < ${ms}`,
};

function conditionsOf<Filters>(table: Conditions<Filters>, filters: Filters): RawBuilder<unknown>[] {
  const given = (Object.keys(table) as (keyof Filters)[]).filter((name) => filters[name] !== undefined);
  return given.map((name) => table[name](filters[name] as NonNullable<Filters[typeof name]>));
}

const all = (conditions: RawBuilder<unknown>[]): RawBuilder<boolean> =>
  sql<boolean>`${sql.join([sql`true`, ...conditions], sql` and `)}`;

/** Follows the order of an index, so a piece ends at its last row. */
const inRange = (range: SessionRange): RawBuilder<boolean> => all(conditionsOf(RANGE, range));

/** Excludes deleted sessions, and those whose deletion was cut short between its two transactions. */
const isVisible = sql`deleted_at is null and coalesce(ended_reason, '') <> 'deleted'`;

/** True if a session matches. The rarest pair comes first, so most sessions need no further check. */
const matches = ({ pairs: [, ...others], ...query }: SessionQuery): RawBuilder<boolean> =>
  all([
    isVisible,
    ...conditionsOf<SessionTraits>(TRAITS, query),
    ...others.map(
      ([key, value]) => sql`exists (select 1 from session_metadata
        where session_id = sessions.id and key = ${key} and value = ${value})`,
    ),
  ]);

export function createSessionScan(db: Kysely<Tables>) {
  /** The sessions with the first pair, or all of the account, in order. An index holds all columns read here. */
  function candidates({ accountId, pairs: [pair], ...query }: SessionQuery) {
    const ofAccount = { account_id: accountId };
    if (!pair) {
      const whole = db.selectFrom('sessions').select(['id', 'created_at']);
      return page(whole.where((eb) => eb.and(ofAccount)).where(inRange(query)), query);
    }
    const [key, value] = pair;
    const having = db
      .selectFrom('session_metadata')
      .select(['session_id as id', 'created_at'])
      .where((eb) => eb.and({ ...ofAccount, key, value }))
      .where(inRange(query));
    return page(having, query, [], 'session_id');
  }

  /** One piece: the next `limit` sessions of a list, matching or not. */
  function look(query: SessionQuery): Promise<LookedAt[]> {
    return db
      .selectFrom(candidates(query).as('candidates'))
      .innerJoin('sessions', 'sessions.id', 'candidates.id')
      .select(['candidates.id', 'candidates.created_at'])
      .select(sql<number | null>`case when ${matches(query)} then ${summaryBytes} end`.as('bytes'))
      .orderBy('candidates.created_at', query.order)
      .orderBy('candidates.id', query.order)
      .execute();
  }

  /** Sorts the pairs, rarest first. Counts up to `countMax` sessions per pair, and treats more frequent pairs as equal. */
  async function rarestFirst(
    accountId: string,
    pairs: readonly MetadataPair[],
    countMax: number,
  ): Promise<MetadataPair[]> {
    const counts = pairs.map(([key, value], index) => {
      const some = db
        .selectFrom('session_metadata')
        .select('session_id')
        .where((eb) => eb.and({ account_id: accountId, key, value }))
        .limit(countMax);
      return db
        .selectFrom(some.as('some'))
        .select(({ fn }) => fn.countAll().as('count'))
        .as(String(index));
    });
    const found: Record<string, unknown> = await db.selectNoFrom(counts).executeTakeFirstOrThrow();
    const countOf = new Map(pairs.map((pair, index) => [pair, Number(found[index])]));
    return pairs.toSorted((a, b) => (countOf.get(a) ?? 0) - (countOf.get(b) ?? 0));
  }

  return { look, rarestFirst };
}
