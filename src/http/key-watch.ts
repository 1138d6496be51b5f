// Rechecks the keys and client tokens of calls in progress. A revoked or expired key also ends its streams and waiting calls.
import { ApiError } from '../contracts/errors.ts';
import type { Services } from '../services/ports.ts';

/** A revocation takes effect within 5 s everywhere. Two checks fit into this time, so one check may fail. */
const LOOK_EVERY_MS = 2_000;

type Abort = (reason: ApiError) => void;

export interface KeyWatch {
  /** @param abort Called with the refusal once the key is refused. @returns a function that ends the watch. */
  add(key: string, abort: Abort): () => void;
}

/** Checks each key once per interval, however many calls the key has open. Without open calls no timer runs. */
export function createKeyWatch(authenticate: Services['authenticate']): KeyWatch {
  const open = new Map<string, Set<Abort>>();
  let timer: NodeJS.Timeout | undefined;

  async function look(key: string, calls: ReadonlySet<Abort>): Promise<void> {
    try {
      await authenticate(key);
    } catch (error) {
      // Only a refusal ends a call. An unavailable store says nothing about the key.
      if (error instanceof ApiError && error.status === 401) for (const abort of calls) abort(error);
    }
  }

  function lookAtAll(): void {
    for (const [key, calls] of open) void look(key, calls);
  }

  return {
    add(key, abort) {
      const calls = open.get(key) ?? new Set();
      open.set(key, calls.add(abort));
      timer ??= setInterval(lookAtAll, LOOK_EVERY_MS);
      return () => {
        calls.delete(abort);
        if (calls.size === 0 && open.get(key) === calls) open.delete(key);
        if (open.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
  };
}
