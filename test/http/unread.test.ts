// Clients that do not read an answer are cut off; slow ones have as long as they need.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import express from 'express';
import { createOpenCalls } from '../../src/http/open-calls.ts';
import { type HttpServer, listen } from '../../src/http/server.ts';
import { eventually } from '../support/api-client.ts';

/** The server's own is 25 s. */
const UNREAD_MS_MAX = 300;

/** More than the system takes for a client that does not read. */
const LARGE_BYTES = 32 * 1024 * 1024;

let http: HttpServer;
let client: Socket;
let onServer: Socket;
let endQuiet: () => void;
beforeEach(async () => {
  const app = express();
  app.locals.openCalls = createOpenCalls();
  app.get('/large', (_req, res) => void res.send(Buffer.alloc(LARGE_BYTES)));
  app.get('/quiet', (_req, res) => {
    endQuiet = () => res.send('said');
  });
  http = await listen(app, { host: '127.0.0.1', port: 0, unreadMsMax: UNREAD_MS_MAX });
  const connected = once(http.server, 'connection');
  client = connect(http.port, '127.0.0.1').pause();
  client.on('error', () => undefined);
  [onServer] = await connected;
});
afterEach(async () => {
  client.destroy();
  await http.close();
});

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const until = (condition: () => boolean) => eventually(async () => condition(), Boolean);

/** @param isEnough is asked after each piece. @returns the number of bytes. */
async function readSlowly(isEnough: (bytes: number) => boolean): Promise<number> {
  let bytes = 0;
  while (!isEnough(bytes) && !client.closed) {
    bytes += client.read()?.length ?? 0;
    await pass(5);
  }
  return bytes;
}

it('a client that reads nothing is cut off', async () => {
  client.write(request('/large'));
  await until(() => onServer.destroyed);
});

it('a client that stops in the middle is cut off', async () => {
  client.write(request('/large'));
  await readSlowly((bytes) => bytes > LARGE_BYTES / 4);
  await until(() => onServer.destroyed);
});

it('a client that reads slowly gets the whole answer, and a quiet call behind it takes its time', async () => {
  client.write(request('/large') + request('/quiet'));
  const from = performance.now();
  // Several times as long as a client may read nothing.
  let bytes = await readSlowly(() => performance.now() - from > 6 * UNREAD_MS_MAX);
  expect(bytes).toBeLessThan(LARGE_BYTES);
  client
    .on('data', (piece) => {
      bytes += piece.length;
    })
    .resume();
  await until(() => bytes > LARGE_BYTES);
  await until(() => endQuiet !== undefined);
  await pass(3 * UNREAD_MS_MAX);
  const withoutQuiet = bytes;
  endQuiet();
  await until(() => bytes > withoutQuiet);
});

it('an idle connection stays', async () => {
  client.write(request('/nothing'));
  client.resume();
  await once(client, 'data');
  await pass(3 * UNREAD_MS_MAX);
  expect(onServer.destroyed).toBe(false);
});
