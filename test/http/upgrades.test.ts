// A wish for a protocol that nobody offers: each request is answered as if it had none, on one connection.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { eventually } from '../support/api-client.ts';
import { type Harness, startHarness } from './support/server.ts';

const REQUEST = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n';
const TIMES = 100;

let app: Harness;
let client: Socket;
let onServer: Socket | undefined;
let text: string;
beforeEach(async () => {
  app = await startHarness();
  app.http.server.once('connection', (socket) => {
    onServer = socket;
  });
  client = connect(app.http.port, '127.0.0.1');
  await once(client, 'connect');
  text = '';
  client.on('data', (chunk) => {
    text += chunk;
  });
});
afterEach(async () => {
  client.destroy();
  await app.close();
});

const untilAnswered = (count: number) =>
  eventually(
    async () => text.split('HTTP/1.1 200 ').length - 1,
    (answers) => answers === count,
  );

it('is answered each time, and leaves nothing behind on the connection', async () => {
  for (let count = 1; count <= TIMES; count += 1) {
    client.write(REQUEST);
    await untilAnswered(count);
  }
  expect(onServer?.listenerCount('error')).toBeLessThanOrEqual(3);
});

it('is answered in turn when the requests come at once', async () => {
  client.write(REQUEST.repeat(TIMES));
  await untilAnswered(TIMES);
});
