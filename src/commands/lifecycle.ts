// The life of every long-running command: start, report readiness, and undo the start on a stop signal.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Config, describeConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { type Cleanup, createCleanup } from './cleanup.ts';

export interface Start {
  config: Config;
  log: Logger;
  /** Collects the undo step of each started part. */
  cleanup: Cleanup;
  /** Aborts if the process is asked to stop before it is ready. */
  signal: AbortSignal;
  /** Stops the process after an unrecoverable failure. The exit code lets a supervisor restart the process. */
  fail(error: Error): void;
}

/** After all our parts have stopped, libraries' resources (such as the thread of a failed worker) have this time to end. */
const LEFT_OPEN_MS_MAX = 2_000;

/** A start that waits for another machine, such as a migrating database, may ignore the abort. It is then abandoned. */
const START_ENDS_MS_MAX = 3_000;

/** Exits even with open resources: otherwise the supervisor would wait and then kill the process. */
function exitSoon(log: Logger): void {
  const exit = () => {
    log.warn({ open: process.getActiveResourcesInfo() }, 'Ending although something is still open');
    process.exit();
  };
  setTimeout(exit, LEFT_OPEN_MS_MAX).unref();
}

/** Listens for the system's stop signals. */
function listenForStop(): { asked: Promise<NodeJS.Signals>; abort: AbortSignal } {
  const controller = new AbortController();
  const asked = new Promise<NodeJS.Signals>((resolve) => {
    // The handlers stay, so a second signal can't end the process during its stop.
    for (const name of ['SIGINT', 'SIGTERM'] as const)
      process.on(name, () => {
        controller.abort();
        resolve(name);
      });
  });
  return { asked, abort: controller.signal };
}

/**
 * @param start Resolves with the text to print when the command is ready.
 * @returns the exit code, after everything has stopped.
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
  // The failure may come during the start or the stop, when nothing awaits it.
  failed.catch(() => {});
  try {
    // A first start may spend long on fetching Temporal. The abort ends the fetch immediately.
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
