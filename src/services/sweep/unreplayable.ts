// A run that can't be replayed stands for ever, while whatever it owes is told to it again and again.
import type { Logger } from 'pino';
import type { Engine } from '../engine.ts';

export interface EndUnreplayableDeps {
  engine: Engine;
  logger: Logger;
}

/** @returns what ends such a run, and says so: somebody should look at its history. */
export const createEndUnreplayable =
  ({ engine, logger }: EndUnreplayableDeps) =>
  async (sessionId: string): Promise<boolean> => {
    const isEnded = await engine.endUnreplayable(sessionId);
    if (isEnded)
      logger.error(
        { sessionId },
        "A run whose history can't be replayed was ended; the next one begins with what the store knows",
      );
    return isEnded;
  };
