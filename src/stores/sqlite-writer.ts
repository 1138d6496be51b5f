// SQLite's only writing connection. Transactions take turns on it. Transactions of the same turn of the event loop share a
// commit, and commits during a sync share the next sync.
import type SQLite from 'better-sqlite3';
import type { Syncs } from './sqlite-sync.ts';

/** Transactions that commit and become durable together. */
interface Group {
  durable: Promise<void>;
  settle(error?: unknown): void;
}

export type SqliteWriter = ReturnType<typeof createSqliteWriter>;

/** A fair mutex: first come, first served. */
function createTurns() {
  const waiting: (() => void)[] = [];
  let taken = false;
  return {
    take(): Promise<void> {
      if (taken) return new Promise((resolve) => waiting.push(resolve));
      taken = true;
      return Promise.resolve();
    },
    give(): void {
      const next = waiting.shift();
      if (next) next();
      else taken = false;
    },
    areFree: () => !taken,
  };
}

function createGroup(): Group {
  let settle: Group['settle'] = () => undefined;
  const durable = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  // `commit` passes a failure on to each transaction of the group. Without any, the rejection must stay handled.
  durable.catch(() => undefined);
  return { durable, settle };
}

/**
 * Transactions over one connection. Each is a savepoint of a group. `commit` resolves when the group is durable. Don't read over
 * this connection outside of a transaction: it already shows the group's uncommitted rows.
 */
export function createSqliteWriter(database: SQLite.Database, syncs: Syncs) {
  const turns = createTurns();
  let group: Group | undefined;
  let isDue = false;

  /** SQLite ends the whole transaction when the disk is full or fails. The group is lost then. */
  function loseGroup(error: unknown): void {
    group?.settle(error);
    group = undefined;
    isDue = false;
  }

  function commitGroup(): void {
    if (!group || !isDue || !turns.areFree()) return;
    const ending = group;
    try {
      database.exec('commit');
      group = undefined;
      isDue = false;
      void syncs.request().then(() => ending.settle());
    } catch (error) {
      if (database.inTransaction) database.exec('rollback');
      loseGroup(error);
    }
  }

  function open(): Group {
    if (group) return group;
    // A deferred transaction fails if another process writes between its first read and its first write. An immediate one waits.
    database.exec('begin immediate');
    group = createGroup();
    // Runs after the events already queued in the event loop, so their writes join this group.
    setImmediate(() => {
      isDue = true;
      commitGroup();
    });
    return group;
  }

  function endTurn(): void {
    turns.give();
    commitGroup();
  }

  return {
    async begin(): Promise<void> {
      await turns.take();
      try {
        open();
        database.exec('savepoint one');
      } catch (error) {
        endTurn();
        throw error;
      }
    },

    /** Resolves when the transaction is durable. @throws if the disk failed. Nothing of the group was stored then. */
    async commit(): Promise<void> {
      try {
        database.exec('release one');
      } catch (error) {
        loseGroup(error);
        endTurn();
        throw error;
      }
      const { durable } = open();
      endTurn();
      await durable;
    },

    /** Resolves when the rows that the transaction has read are durable. Others of its group may have written them. */
    async rollback(cause: unknown): Promise<void> {
      if (database.inTransaction) database.exec('rollback to one; release one');
      else loseGroup(cause);
      const read = group?.durable ?? syncs.pending();
      endTurn();
      await read;
    },

    /** Commits all writes so far. Closing the connection makes them durable. */
    flush(): void {
      isDue = true;
      commitGroup();
    },
  };
}
