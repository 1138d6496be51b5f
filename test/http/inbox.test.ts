// Frames around the end of a connection: what a client has sent before its own close is answered, and nothing after ours.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { readFrames } from '../../src/http/websocket/inbox.ts';

let server: WebSocketServer;
let client: WebSocket;
let answered: string[];
let closed: Promise<unknown>;
/** What the test does as the server answers a frame. */
let onFrame: (text: string, socket: WebSocket) => void;

beforeEach(async () => {
  answered = [];
  onFrame = () => {};
  server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  closed = new Promise((resolve) => {
    server.on('connection', (socket) => {
      let isOver = false;
      socket.on('close', resolve);
      const close = socket.close.bind(socket);
      socket.close = (code) => {
        isOver ||= code === 4401;
        close(code);
      };
      readFrames(
        socket,
        async ({ bytes }) => {
          answered.push(String(bytes));
          onFrame(String(bytes), socket);
          await new Promise(setImmediate);
        },
        () => isOver,
      );
    });
  });
  client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(client, 'open');
});
afterEach(async () => {
  server.close();
  await once(server, 'close');
});

it('what comes after our close, or waits behind it, is not answered', async () => {
  onFrame = (text, socket) => {
    if (text !== 'revoke my key') return;
    socket.close(4401);
    // The client, which does not read, sends on.
    client.send('late');
    client.resume();
  };
  client.pause();
  for (const text of ['first', 'revoke my key', 'behind']) client.send(text);
  await closed;
  expect(answered).toEqual(['first', 'revoke my key']);
});

it('what a client sends before it closes is answered', async () => {
  const results = ['result 1', 'result 2', 'result 3'];
  for (const text of results) client.send(text);
  client.close();
  await closed;
  await new Promise(setImmediate);
  expect(answered).toEqual(results);
});
