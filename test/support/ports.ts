// Ports for servers that the tests start.

import { randomInt } from 'node:crypto';
import { isFree } from '../../src/temporal/free-ports.ts';

/**
 * Below every system's ephemeral range (Linux: from 32,768), with room for the ports an embedded Temporal server has
 * beside its gRPC port; above those that well-known servers have.
 */
const FIRST = 15_000;
const END = 31_000;

const given = new Set<number>();

/**
 * A port that is free now and stays so until its server listens. Not one of the system's choosing (`listen(0)`): those
 * are handed out to outgoing connections too, so one could be some client's own end by the time the server starts.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}
