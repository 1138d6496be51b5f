// Every call that is being answered, so that a stopping server can ask all of them to end.
import type { Response } from 'express';

export interface OpenCalls {
  /** Aborts when the client is gone before its answer, or when the server stops. */
  track(res: Response): AbortController;
  abortAll(): void;
}

export function createOpenCalls(): OpenCalls {
  const open = new Set<AbortController>();
  return {
    track(res) {
      const controller = new AbortController();
      open.add(controller);
      res.once('close', () => {
        open.delete(controller);
        if (!res.writableFinished) controller.abort();
      });
      return controller;
    },
    abortAll() {
      for (const controller of open) controller.abort();
    },
  };
}
