// Frames of a connection that is being closed: what came before is answered, and nothing after.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { readFrames } from '../../src/http/websocket/inbox.ts';

it('what comes after the close, or waits behind it, is not answered', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const answered: string[] = [];
  const closed = new Promise((resolve) => {
    server.on('connection', (socket) => {
      socket.on('close', resolve);
      readFrames(socket, async ({ bytes }) => {
        answered.push(String(bytes));
        if (String(bytes) !== 'revoke my key') return;
        socket.close(4401);
        // The client, which does not read, sends on.
        client.send('late');
        client.resume();
      });
    });
  });
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(client, 'open');
  client.pause();
  for (const text of ['first', 'revoke my key', 'behind']) client.send(text);
  await closed;
  expect(answered).toEqual(['first', 'revoke my key']);
  server.close();
  await once(server, 'close');
});
