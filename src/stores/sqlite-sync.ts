// Syncs SQLite's write-ahead log to the disk away from the event loop, which goes on meanwhile.
import { closeSync, fdatasync, openSync } from 'node:fs';
import { promisify } from 'node:util';

const syncData = promisify(fdatasync);

/** Makes everything durable that was committed before the call. It never fails: a disk that does ends the process. */
export type Sync = () => Promise<void>;

export interface Syncs {
  /** Resolves when all that is committed by now is durable. */
  request(): Promise<void>;
  /** The same, without asking for a sync: undefined when nothing is on its way. */
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

/** One sync at a time: whoever asks while one is under way shares the next, for what they wrote may have come too late for it. */
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
 * Ends the process: what was committed can be read, and may be gone after the next power cut. No answer would be true, so nobody gets
 * one; and a second sync proves nothing, for the system may have dropped what it could not write. The next start reads what is there.
 */
function end(file: string, cause: unknown): Promise<never> {
  setImmediate(() => {
    throw new Error(`${file} can't be synced to the disk`, { cause });
  });
  return new Promise(() => undefined);
}

/** The write-ahead log beside a database. It stays the same file while a connection to the database is open. */
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
