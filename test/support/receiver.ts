// A receiver of webhooks that keeps what it gets, and answers as the test says.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { Event } from '../../src/contracts/events.ts';
import { eventually } from './api-client.ts';
import { freePort } from './ports.ts';

export interface Received {
  atMs: number;
  headers: IncomingHttpHeaders;
  /** The very bytes. */
  body: string;
  event: Event;
}

export type Answer = number | ((request: Received, response: ServerResponse) => void);

export type Receiver = Awaited<ReturnType<typeof startReceiver>>;

export async function startReceiver(answer: Answer = 200) {
  const received: Received[] = [];
  let answering = answer;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const got = { atMs: Date.now(), headers: request.headers, body, event: JSON.parse(body) };
      received.push(got);
      if (typeof answering === 'number') response.writeHead(answering).end();
      else answering(got, response);
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const types = () => received.map(({ event }) => event.type as string);
  return {
    url: `http://127.0.0.1:${port}/webhooks`,
    received,
    types,
    answer(next: Answer): void {
      answering = next;
    },
    /** Everything that was received by the time that it satisfies. */
    until: (satisfied: (received: Received[]) => boolean, timeoutMs?: number): Promise<Received[]> =>
      eventually(async () => received, satisfied, timeoutMs),
    async stop(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
