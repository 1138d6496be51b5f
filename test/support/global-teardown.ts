// Ends what global-setup has started.
import { rmSync } from 'node:fs';
import type { EmbeddedTemporal } from '../../src/temporal/embedded-server.ts';
import type { TestPostgres } from './postgres.ts';
import { readRunFile } from './run-file.ts';

export default async function teardown(): Promise<void> {
  const { temporalServer, postgres } = globalThis as {
    temporalServer?: EmbeddedTemporal;
    postgres?: TestPostgres;
  };
  await postgres?.stop();
  if (!temporalServer) return;
  await temporalServer.stop();
  rmSync(readRunFile().directory, { recursive: true, force: true });
}
