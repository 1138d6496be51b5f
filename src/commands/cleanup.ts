// Undoes a start, last thing first, whatever became of it.
import type { Logger } from 'pino';

export type Cleanup = ReturnType<typeof createCleanup>;

export function createCleanup(log: Logger) {
  const steps: { name: string; undo: () => Promise<void> }[] = [];
  return {
    add(name: string, undo: () => Promise<void>): void {
      steps.push({ name, undo });
    },
    /** Runs every step, also after one that failed: nothing may be left running. */
    async run(): Promise<void> {
      for (const { name, undo } of steps.splice(0).reverse())
        await undo().catch((error: unknown) => log.error({ err: error }, `Could not stop ${name}`));
    },
  };
}
