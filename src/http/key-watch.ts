// Looks again at the keys and client tokens of calls that are still being answered: one that was revoked or has expired
// ends its streams and waits, too.
import { ApiError } from '../contracts/errors.ts';
import type { Services } from '../services/ports.ts';

/** A revocation holds within 5 s everywhere; two looks fit in them, so that one may fail. */
const LOOK_EVERY_MS = 2_000;

type Abort = (reason: ApiError) => void;

export interface KeyWatch {
  /** @param abort is called with the refusal once the key is refused. @returns the end of the watch. */
  add(key: string, abort: Abort): () => void;
}

/** However many calls a key has open, it is asked for once a look; without open calls nothing runs. */
export function createKeyWatch(authenticate: Services['authenticate']): KeyWatch {
  const open = new Map<string, Set<Abort>>();
  let timer: NodeJS.Timeout | undefined;

  async function look(key: string, calls: ReadonlySet<Abort>): Promise<void> {
    try {
      await authenticate(key);
    } catch (error) {
      // Only a refusal ends a call: a store that is away says nothing about the key.
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
