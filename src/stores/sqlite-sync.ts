// Syncs SQLite's write-ahead log to the disk without blocking the event loop.
import { closeSync, fdatasync, openSync } from 'node:fs';
import { promisify } from 'node:util';

const syncData = promisify(fdatasync);

/** Makes everything durable that was committed before the call. It never fails: a failing disk ends the process. */
export type Sync = () => Promise<void>;

export interface Syncs {
  /** Resolves when everything committed by now is durable. */
  request(): Promise<void>;
  /** Waits for syncs already requested. Undefined if there are none. */
  pending(): Promise<void> | undefined;
}

interface Round {
  done: Promise<void>;
  settle(): void;
}

function createRound(): Round {
  let settle: Round['settle'] = () => undefined;
  const done = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { done, settle };
}

/** One sync at a time. Requests during a sync share the next sync, because the current one may miss their writes. */
export function createSyncs(sync: Sync): Syncs {
  let underWay: Round | undefined;
  let next: Round | undefined;

  async function run(): Promise<void> {
    while (next) {
      underWay = next;
      next = undefined;
      await sync();
      underWay.settle();
    }
    underWay = undefined;
  }

  return {
    request() {
      next ??= createRound();
      const { done } = next;
      if (!underWay) void run();
      return done;
    },
    pending: () => (next ?? underWay)?.done,
  };
}

/**
 * Ends the process after a failed sync. Committed rows are readable but may be lost in a power cut, so no response would be true.
 * A second sync proves nothing, because the system may have dropped the unwritten pages. The next start reads the file as it is.
 */
function end(file: string, cause: unknown): Promise<never> {
  setImmediate(() => {
    throw new Error(`${file} can't be synced to the disk`, { cause });
  });
  return new Promise(() => undefined);
}

/** The write-ahead log beside a database. The file stays the same while a connection to the database is open. */
export function openLogSync(database: string): { sync: Sync; close(): void } {
  const file = `${database}-wal`;
  let descriptor: number | undefined;
  return {
    async sync() {
      descriptor ??= openSync(file, 'r+');
      await syncData(descriptor).catch((error: unknown) => end(file, error));
    },
    close() {
      if (descriptor !== undefined) closeSync(descriptor);
    },
  };
}
