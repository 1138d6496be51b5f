// Lists sessions by filters that may match few of many: in pieces, so that other calls are answered between two of them.
import type { SessionSummary } from '../../contracts/sessions.ts';
import { createCatchUpQueue } from '../../events/catch-up-queue.ts';
import { countFitting } from '../../stores/page-bytes.ts';
import type { LookedAt, MetadataPair, SessionQuery } from '../../stores/session-scan.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { SessionView } from '../../views/sessions.ts';
import type { Caller, PageRequest, Position, SessionFilter, Slice } from '../ports.ts';
import { byCreation, creationOf, sliceOf } from '../slices.ts';

/** How much a list looks at. */
export interface ListBounds {
  /** Rows and pairs of metadata of one piece: a few ms in SQLite, which keeps the event loop meanwhile. */
  lookupsPerPiece: number;
  /** Pieces of one page. A page that has used them up says where the list goes on. */
  piecesMax: number;
}

const BOUNDS: ListBounds = { lookupsPerPiece: 2_000, piecesMax: 100 };

/** Entries of one index are counted in the time of one lookup. */
const COUNTED_PER_LOOKUP = 4;

export interface ListDeps {
  sessions: SessionsStore;
  sessionView: SessionView;
}

/** What the pieces of a page have found. */
interface Found {
  matching: { id: string; created_at: number; bytes: number }[];
  /** The last session that was looked at, when others follow it. */
  stoppedAt: Position | null;
}

const isMatch = (row: LookedAt): row is LookedAt & { bytes: number } => row.bytes !== null;

export function createList({ sessions, sessionView }: ListDeps, bounds = BOUNDS) {
  const queue = createCatchUpQueue();

  async function ordered(accountId: string, pairs: MetadataPair[], countMax: number) {
    if (pairs.length < 2) return pairs;
    await queue.next();
    const rarestFirst = await sessions.rarestFirst(accountId, pairs, countMax);
    await queue.next();
    return rarestFirst;
  }

  /** The next piece. @returns where the piece after it starts; null when there is none. */
  async function lookOn(query: SessionQuery, matching: Found['matching']): Promise<Position | null> {
    const looked = await sessions.look(query);
    matching.push(...looked.filter(isMatch));
    const last = looked.at(-1);
    return last && looked.length === query.limit ? creationOf(last) : null;
  }

  async function find({ accountId }: Caller, filter: SessionFilter, page: PageRequest): Promise<Found> {
    const { metadata, ...others } = filter;
    const given = Object.entries(metadata);
    const rowsPerPiece = Math.ceil(bounds.lookupsPerPiece / (given.length + 1));
    const pairs = await ordered(accountId, given, rowsPerPiece * COUNTED_PER_LOOKUP);
    const { limit: wanted, ...start } = byCreation(page);
    const query = { ...others, accountId, pairs, ...start };
    const matching: Found['matching'] = [];
    // Most lists are short or match at once: their first piece is no longer than the page.
    let stoppedAt = await lookOn({ ...query, limit: Math.min(wanted, rowsPerPiece) }, matching);
    for (let piece = 1; piece < bounds.piecesMax; piece += 1) {
      if (stoppedAt === null || matching.length >= wanted) break;
      await queue.next();
      stoppedAt = await lookOn({ ...query, after: stoppedAt, limit: rowsPerPiece }, matching);
    }
    return { matching, stoppedAt };
  }

  return async function list(
    caller: Caller,
    filter: SessionFilter,
    page: PageRequest,
  ): Promise<Slice<SessionSummary>> {
    const { matching, stoppedAt } = await find(caller, filter, page);
    const fitting = countFitting(matching.slice(0, page.limit).map(({ bytes }) => bytes));
    const { data, next } = sliceOf(matching, fitting, creationOf);
    return { data: (await sessions.whole(data)).map(sessionView), next: next ?? stoppedAt };
  };
}
