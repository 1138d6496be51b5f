// Ends what global-setup has started.
import { rmSync } from 'node:fs';
import type { EmbeddedTemporal } from '../../src/temporal/embedded-server.ts';
import type { TestPostgres } from './postgres.ts';
import { readRunFile } from './run-file.ts';

/** Jest ends within a second of this when nothing is left open. */
const EXIT_MS_MAX = 20_000;

/**
 * What a test has left open keeps a suite from ending, until its budget is over and nobody knows why: it is told what that was, and
 * the run ends with the code that its tests have come to. The timer itself keeps nothing alive.
 */
function endWithEvidence(): void {
  setTimeout(() => {
    const { libuv } = process.report.getReport() as unknown as { libuv: Record<string, unknown>[] };
    const open = libuv.filter((handle) => handle.is_active && handle.is_referenced);
    console.error(`Left open after all tests: ${JSON.stringify([process.getActiveResourcesInfo(), open])}`);
    process.exit();
  }, EXIT_MS_MAX).unref();
}

export default async function teardown(): Promise<void> {
  endWithEvidence();
  const { temporalServer, postgres } = globalThis as {
    temporalServer?: EmbeddedTemporal;
    postgres?: TestPostgres;
  };
  await postgres?.stop();
  if (!temporalServer) return;
  await temporalServer.stop();
  rmSync(readRunFile().directory, { recursive: true, force: true });
}
