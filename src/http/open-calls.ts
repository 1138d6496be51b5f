// Tracks every call in progress, so that a stopping server can end all of them.
import type { Response } from 'express';

export interface OpenCalls {
  /** Aborts when the client disconnects before its response is out, or when the server stops. */
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
      // The request arrived after the stop began.
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
