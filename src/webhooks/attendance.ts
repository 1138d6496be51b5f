// Resident senders: they stay with a session for a moment and send this process's new events immediately. Otherwise
// each commit would cost a signal, an activity and two workflow tasks.

/** An active conversation produces new events within this time. */
const STAY_MS = 1_000;
/** Residents at once. Beyond this number a sender returns when it is done, because each resident occupies a worker slot. */
const ATTENDED_MAX = 100;
/** Passes of one session at once. While one pass waits for a slow endpoint, another sends new events to other endpoints. */
const ROUNDS_MAX = 4;

export type Attendance = ReturnType<typeof createAttendance>;

export interface Attended {
  /** Sends the due deliveries. */
  round: () => Promise<void>;
  /** True when no further pass may begin. */
  isOver: () => boolean;
  /** Aborts when the sender must stop immediately. */
  signal: AbortSignal;
}

export interface Stay {
  /**
   * The last notification came too late and was refused. The notifier signals the workflow, and another sender takes
   * the due deliveries.
   */
  isRefused: boolean;
}

/** @param stayMs Idle time after the last pass. With 0 no sender stays resident. */
export function createAttendance(stayMs = STAY_MS) {
  /** Asks the session's resident sender for another pass. The sender may decline. */
  const bells = new Map<string, () => boolean>();

  /** Resolves after a moment without notifications, when every pass has ended. @throws the error of the first failed pass. */
  function attend(sessionId: string, { round, isOver, signal }: Attended): Promise<Stay> {
    return new Promise((resolve, reject) => {
      let rounds = 0;
      let isRung = false;
      let isRefused = false;
      let failure: { error: unknown } | undefined;
      let timer: NodeJS.Timeout | undefined;

      const isOpen = () => bells.get(sessionId) === ring;

      /**
       * From here on commits signal the workflow again. Leaving completes within one turn of the event loop, so no
       * notification gets lost.
       */
      function leave(): void {
        clearTimeout(timer);
        if (isOpen()) bells.delete(sessionId);
        signal.removeEventListener('abort', leave);
        if (rounds > 0) return;
        if (failure) reject(failure.error);
        else resolve({ isRefused });
      }

      async function begin(): Promise<void> {
        clearTimeout(timer);
        isRung = false;
        rounds += 1;
        await round().catch((error: unknown) => {
          failure ??= { error };
        });
        rounds -= 1;
        if (failure || !isOpen()) leave();
        else if (isRung) void begin();
        else if (rounds === 0) timer = setTimeout(leave, stayMs);
      }

      function ring(): boolean {
        if (isOver()) {
          isRefused = true;
          leave();
          return false;
        }
        if (rounds < ROUNDS_MAX) void begin();
        else isRung = true;
        return true;
      }

      bells.set(sessionId, ring);
      signal.addEventListener('abort', leave);
      void begin();
    });
  }

  return {
    /** @returns true if a resident sender of this process accepts and checks for due deliveries. */
    ring: (sessionId: string): boolean => bells.get(sessionId)?.() ?? false,

    /**
     * Runs a pass, and further passes as long as new events arrive.
     * @param takesOver Also replaces a resident sender, such as a sender of a closed run.
     */
    async during(sessionId: string, attended: Attended, takesOver = false): Promise<Stay> {
      const isFree = takesOver || !bells.has(sessionId);
      if (stayMs > 0 && isFree && bells.size < ATTENDED_MAX && !attended.signal.aborted)
        return attend(sessionId, attended);
      await attended.round();
      return { isRefused: false };
    },
  };
}
