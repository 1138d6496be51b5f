// What every command that stays has in common: it starts, says that it is ready, and undoes all of it when it is asked to stop.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Config, describeConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { type Cleanup, createCleanup } from './cleanup.ts';

export interface Start {
  config: Config;
  log: Logger;
  /** Takes what undoes each part that has been started. */
  cleanup: Cleanup;
  /** Aborts when the process is asked to stop before it is ready. */
  signal: AbortSignal;
  /** What can't be mended while it runs stops the process, with an exit code that lets a supervisor start it again. */
  fail(error: Error): void;
}

/** When everything of ours has ended, what a library has left open (the thread of a worker that has failed) ends by itself in this. */
const LEFT_OPEN_MS_MAX = 2_000;

/** A start that waits for another machine, such as a database that migrates, may not heed the abort; it is left then. */
const START_ENDS_MS_MAX = 3_000;

/** Nothing left open may keep the process: whoever stopped it would wait, and then kill it. */
function exitSoon(log: Logger): void {
  const exit = () => {
    log.warn({ open: process.getActiveResourcesInfo() }, 'Ending although something is still open');
    process.exit();
  };
  setTimeout(exit, LEFT_OPEN_MS_MAX).unref();
}

/** Listens for the system's signals that ask us to stop. */
function listenForStop(): { asked: Promise<NodeJS.Signals>; abort: AbortSignal } {
  const controller = new AbortController();
  const asked = new Promise<NodeJS.Signals>((resolve) => {
    // The handlers stay: a second signal must not end the process in the middle of its stop.
    for (const name of ['SIGINT', 'SIGTERM'] as const)
      process.on(name, () => {
        controller.abort();
        resolve(name);
      });
  });
  return { asked, abort: controller.signal };
}

/**
 * @param start Resolves with what people read when it is ready.
 * @returns the exit code, when everything has stopped.
 */
export async function runUntilStopped(
  config: Config,
  start: (parts: Start) => Promise<string>,
): Promise<number> {
  const log = createLog(config.logLevel);
  log.info(describeConfig(config), 'Configuration');
  for (const warning of config.warnings) log.warn(warning);
  const cleanup = createCleanup(log);
  const stop = listenForStop();
  let fail: Start['fail'] = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // It may fail while nobody waits for that: during the start, or the stop.
  failed.catch(() => {});
  try {
    // A first start may be fetching Temporal, which takes long: with the abort it gives up at once.
    const started = start({ config, log, cleanup, signal: stop.abort, fail });
    const ready = await Promise.race([started, stop.asked.then(() => null)]);
    if (ready === null)
      await Promise.race([
        started.catch(() => undefined),
        sleep(START_ENDS_MS_MAX, undefined, { ref: false }),
      ]);
    else {
      process.stdout.write(ready);
      log.info({ signal: await Promise.race([stop.asked, failed]) }, 'Stopping');
    }
  } finally {
    await cleanup.run();
    exitSoon(log);
  }
  return 0;
}
