// Ends what global-setup has started.
import { rmSync } from 'node:fs';
import type { EmbeddedTemporal } from '../../src/temporal/embedded-server.ts';
import { readRunFile } from './run-file.ts';

export default async function teardown(): Promise<void> {
  const { temporalServer } = globalThis as { temporalServer?: EmbeddedTemporal };
  if (!temporalServer) return;
  await temporalServer.stop();
  rmSync(readRunFile().directory, { recursive: true, force: true });
}
