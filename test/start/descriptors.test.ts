// A process with few descriptors, and clients that want all of them: it lives, goes on and serves.
import { existsSync, readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { eventually } from '../support/api-client.ts';
import { PROJECT_DIR } from '../support/built.ts';
import { freePort } from '../support/ports.ts';
import { cleanUp, spawnServer } from '../support/process.ts';

const DESCRIPTORS = 256;
/** The rest is reserved for the process's own work. */
const CONNECTIONS = 128;

const itOnProc = existsSync('/proc/self/fd') ? it : it.skip;

const sockets: Socket[] = [];
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await cleanUp();
});

function openSilently(port: number, count: number): void {
  for (let index = 0; index < count; index += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    sockets.push(socket);
  }
}

itOnProc('lives through more silent sockets than it has descriptors, and its message completes', async () => {
  const main = join(PROJECT_DIR, 'dist', 'main.js');
  const server = spawnServer({
    port: await freePort(),
    command: ['sh', '-c', `ulimit -n ${DESCRIPTORS} && exec "$0" "$1" dev`, process.execPath, main],
  });
  await server.ready();
  const { api } = server;
  const { id } = await api.session();
  const message = api.send(id, '[[tokens=300 token_ms=10]]');
  await eventually(
    () => api.events(id),
    (events) => events.some(({ type }) => type === 'message.delta'),
  );
  const openFiles = () => readdirSync(`/proc/${server.pid}/fd`).length;
  const openConnections = () => sockets.filter(({ closed }) => !closed).length;
  openSilently(server.port, 4 * DESCRIPTORS);
  await eventually(
    async () => openConnections(),
    (open) => open <= CONNECTIONS,
  );
  expect(openFiles()).toBeGreaterThan(CONNECTIONS);
  expect(openFiles()).toBeLessThan(DESCRIPTORS);
  expect((await api.get('/v1/models')).status).toBe(200);
  expect(await message).toMatchObject({ status: 'completed' });
  for (const socket of sockets) socket.destroy();
  expect(await api.send(id, 'And now?')).toMatchObject({ status: 'completed' });
  expect(await server.stop('SIGTERM')).toEqual({ code: 0, signal: null });
});
