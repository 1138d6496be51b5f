// A run that can't be replayed is stuck forever, while the reconciler keeps sending signals to the run.
import type { Logger } from 'pino';
import type { Engine } from '../engine.ts';

export interface EndUnreplayableDeps {
  engine: Engine;
  logger: Logger;
}

/** @returns a function that ends such a run and logs an error, because an operator should inspect its history. */
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
