// Health check of a Temporal server.

import { Connection } from '@temporalio/client';
import { WITHOUT_PROXY } from './connection.ts';

// A healthy local server responds in 10 ms. A loaded machine gets a hundred times as long.
const PROBE_TIMEOUT_MS = 1_000;

/** True if the server at this address accepts calls and has created its namespace. */
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
