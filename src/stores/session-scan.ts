// Finds sessions for a list in pieces of a known size: however many sessions there are, a piece looks at so many rows at most.
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { SessionRange, SessionTraits } from '../contracts/sessions.ts';
import { type Keyset, page } from './keyset.ts';
import type { SessionRow, Tables } from './schema.ts';

export interface SessionQuery extends Keyset, SessionTraits, SessionRange {
  accountId: string;
  /** All of them must match. The piece looks at the sessions that have the first one. */
  pairs: MetadataPair[];
}

export type MetadataPair = [key: string, value: string];

/** A session that a piece has looked at: where it stands, and how long it is if it matches. */
export interface LookedAt extends Pick<SessionRow, 'id' | 'created_at'> {
  /** Null when the session does not match. */
  bytes: number | null;
}

/** Bytes that a list reads for a session. Of the tools it shows names only, but a row's tools are read together. */
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

/** In the order of an index, so that the piece ends where its last row is. */
const inRange = (range: SessionRange): RawBuilder<boolean> => all(conditionsOf(RANGE, range));

/** Excludes deleted sessions, and those whose deletion was cut short between its two transactions. */
const isVisible = sql`deleted_at is null and coalesce(ended_reason, '') <> 'deleted'`;

/** Whether a session matches; the rarest pair comes first, so that most sessions need no further look. */
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
  /** The sessions that have the first pair, or all of the account, in order. An index holds everything that this reads. */
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

  /** One piece: the next `limit` sessions of a list, whether they match or not. */
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

  /** The pairs with the rarest first. Counts up to `countMax` of each; what is as frequent or more is all the same. */
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
