// Lists sessions by filters that may match few of many sessions. Works in pieces, so that other calls are served in between.
import type { SessionSummary } from '../../contracts/sessions.ts';
import { createCatchUpQueue } from '../../events/catch-up-queue.ts';
import { countFitting } from '../../stores/page-bytes.ts';
import type { LookedAt, MetadataPair, SessionQuery } from '../../stores/session-scan.ts';
import type { SessionsStore } from '../../stores/sessions.ts';
import type { SessionView } from '../../views/sessions.ts';
import type { Caller, PageRequest, Position, SessionFilter, Slice } from '../ports.ts';
import { byCreation, creationOf, sliceOf } from '../slices.ts';

/** Bounds of the rows that a list reads. */
export interface ListBounds {
  /** Rows and metadata pairs per piece. A piece takes a few ms in SQLite, which blocks the event loop. */
  lookupsPerPiece: number;
  /** Pieces per page. A page that reaches the bound returns the position to continue from. */
  piecesMax: number;
}

const BOUNDS: ListBounds = { lookupsPerPiece: 2_000, piecesMax: 100 };

/** This many entries of an index are counted in the time of one lookup. */
const COUNTED_PER_LOOKUP = 4;

export interface ListDeps {
  sessions: SessionsStore;
  sessionView: SessionView;
}

/** The results of a page's pieces. */
interface Found {
  matching: { id: string; created_at: number; bytes: number }[];
  /** The last session read, when more sessions follow. */
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

  /** Reads the next piece. @returns the start of the following piece, or null when there is none. */
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
    // Most lists are short or match immediately, so the first piece is no longer than the page.
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
