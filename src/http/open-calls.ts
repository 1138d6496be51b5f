// Every call that is being answered, so that a stopping server can ask all of them to end.
import type { Response } from 'express';

export interface OpenCalls {
  /** Aborts when the client is gone before its answer, or when the server stops. */
  track(res: Response): AbortController;
  abortAll(): void;
}

export function createOpenCalls(): OpenCalls {
  const open = new Set<AbortController>();
  let isStopping = false;
  return {
    track(res) {
      const controller = new AbortController();
      open.add(controller);
      // It was on its way when the stop began.
      if (isStopping) controller.abort();
      res.once('close', () => {
        open.delete(controller);
        if (!res.writableFinished) controller.abort();
      });
      return controller;
    },
    abortAll() {
      isStopping = true;
      for (const controller of open) controller.abort();
    },
  };
}
