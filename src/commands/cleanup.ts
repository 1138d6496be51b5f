// Undoes a start, last thing first, whatever became of it.
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
    /** A part that a start finishes after its stop is stopped at once. */
    add(name: string, undo: () => Promise<void>): void {
      if (hasRun) late.push(undoStep({ name, undo }));
      else steps.push({ name, undo });
    },
    /** Runs every step, also after one that failed, and waits for parts that are added meanwhile: nothing may be left running. */
    async run(): Promise<void> {
      hasRun = true;
      for (const step of steps.splice(0).reverse()) await undoStep(step);
      while (late.length > 0) await Promise.all(late.splice(0));
    },
  };
}
