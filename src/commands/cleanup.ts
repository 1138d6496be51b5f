// Undoes a start, last step first, whether the start succeeded or failed.
import type { Logger } from 'pino';

export type Cleanup = ReturnType<typeof createCleanup>;

export function createCleanup(log: Logger) {
  interface Step {
    name: string;
    undo(): Promise<void>;
  }
  const steps: Step[] = [];
  const late: Promise<void>[] = [];
  let hasRun = false;
  const undoStep = ({ name, undo }: Step): Promise<void> =>
    undo().catch((error: unknown) => log.error({ err: error }, `Could not stop ${name}`));

  return {
    /** A part added after the stop is stopped immediately. */
    add(name: string, undo: () => Promise<void>): void {
      if (hasRun) late.push(undoStep({ name, undo }));
      else steps.push({ name, undo });
    },
    /** Runs every step, even after a failed one, and waits for parts added in the meantime, so nothing keeps running. */
    async run(): Promise<void> {
      hasRun = true;
      for (const step of steps.splice(0).reverse()) await undoStep(step);
      while (late.length > 0) await Promise.all(late.splice(0));
    },
  };
}
