// Asks a Temporal server whether it serves.

import { Connection } from '@temporalio/client';
import { WITHOUT_PROXY } from './connection.ts';

// A local server that is well answers in 10 ms; a loaded machine gets a hundred times that.
const PROBE_TIMEOUT_MS = 1_000;

/** Whether the server at this address accepts calls and has finished making its namespace. */
export async function isServing(address: string): Promise<boolean> {
  try {
    const connection = await Connection.connect({
      address,
      connectTimeout: PROBE_TIMEOUT_MS,
      channelArgs: WITHOUT_PROXY,
    });
    try {
      const ask = () => connection.workflowService.describeNamespace({ namespace: 'default' });
      await connection.withDeadline(Date.now() + PROBE_TIMEOUT_MS, ask);
    } finally {
      await connection.close();
    }
    return true;
  } catch {
    return false;
  }
}
