// Senders that stay with their session for a moment: what this process commits for it meanwhile is sent at once, and its
// workflow is not told of it, which would cost a signal, an activity and two workflow tasks each time.

/** A conversation that goes on has something new within this. */
const STAY_MS = 1_000;
/** Sessions attended at once; beyond them a sender leaves when it is done, for each that stays has a worker's place. */
const ATTENDED_MAX = 100;
/** Rounds of one session at once: while one waits for a receiver that does not answer, what is new for others is sent. */
const ROUNDS_MAX = 4;

export type Attendance = ReturnType<typeof createAttendance>;

export interface Attended {
  /** Sends what is due. */
  round: () => Promise<void>;
  /** Nothing more is begun then. */
  isOver: () => boolean;
  /** Aborts when it is over at once. */
  signal: AbortSignal;
}

export interface Stay {
  /** It ended with a ring that came too late: whoever rang tells the workflow, and what is due is another sender's. */
  isRefused: boolean;
}

/** @param stayMs After the last round; with 0 nobody stays. */
export function createAttendance(stayMs = STAY_MS) {
  /** Of each session that a sender is with: asks it for another round, which it may refuse. */
  const bells = new Map<string, () => boolean>();

  /** Resolves when a moment has passed without a ring, and every round is over. @throws what the first failed round has. */
  function attend(sessionId: string, { round, isOver, signal }: Attended): Promise<Stay> {
    return new Promise((resolve, reject) => {
      let rounds = 0;
      let isRung = false;
      let isRefused = false;
      let failure: { error: unknown } | undefined;
      let timer: NodeJS.Timeout | undefined;

      const isOpen = () => bells.get(sessionId) === ring;

      /** From here on the session's workflow is told again: in the same turn of the loop, so that no ring gets lost. */
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
    /** @returns whether a sender of this process is with the session, and looks for what is due. */
    ring: (sessionId: string): boolean => bells.get(sessionId)?.() ?? false,

    /**
     * A round, and others for as long as there is something new.
     * @param takesOver Also from a sender that is with the session already, such as one whose run is over.
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
