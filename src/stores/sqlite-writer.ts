// The one writing connection of SQLite, shared by transactions in turns. Those that come in the same turn of the event loop are one
// commit, and those that are committed while the disk is busy become durable in one sync.
import type SQLite from 'better-sqlite3';
import type { Syncs } from './sqlite-sync.ts';

/** Transactions that are written and will be durable together. */
interface Group {
  durable: Promise<void>;
  settle(error?: unknown): void;
}

export type SqliteWriter = ReturnType<typeof createSqliteWriter>;

/** Turns in the order in which they were asked for. */
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
  // A failed commit is told to each transaction of the group; a group may have none left that wants to know.
  durable.catch(() => undefined);
  return { durable, settle };
}

/**
 * Transactions over one connection. Each is a savepoint of a group, and is durable when the group is: `commit` resolves then.
 * Nobody may read over this connection outside of a transaction, for the group's rows are there before they are committed.
 */
export function createSqliteWriter(database: SQLite.Database, syncs: Syncs) {
  const turns = createTurns();
  let group: Group | undefined;
  let isDue = false;

  /** SQLite ends a whole transaction by itself when the disk is full or fails: then the group is lost. */
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
    // A deferred transaction fails when it turns from reading to writing beside another process; an immediate one waits.
    database.exec('begin immediate');
    group = createGroup();
    // After the events that are already here: whatever they write belongs to this group.
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

    /** Resolves when it is durable. @throws when the disk could not keep it: nothing of the group was stored. */
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

    /** Resolves when what it has read is durable: others of its group wrote that, and the caller goes by it. */
    async rollback(cause: unknown): Promise<void> {
      if (database.inTransaction) database.exec('rollback to one; release one');
      else loseGroup(cause);
      const read = group?.durable ?? syncs.pending();
      endTurn();
      await read;
    },

    /** What is written so far is committed; closing the connection makes it durable. */
    flush(): void {
      isDue = true;
      commitGroup();
    },
  };
}
