// Ctrl-C and SIGTERM leave nothing behind: no server, no Temporal server, nothing cut in two.
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { readRecord, serverFiles } from '../../src/temporal/embedded-record.ts';
import { eventually } from '../support/api-client.ts';
import { itLong } from '../support/long.ts';
import { freePort } from '../support/ports.ts';
import { cleanUp, type ServerProcess, spawnServer, startServer } from '../support/process.ts';
import { descendantsOf, isRunning } from '../support/process-list.ts';

afterAll(cleanUp);

/** A stop takes one to two seconds; this is the promise to whoever waits for it. */
const STOP_MS_MAX = 8_000;
/** A port is given up after 20 s; two starts and a stop on a loaded machine come on top. */
const PORT_LOST_MS_MAX = 90_000;
/** Pino's number of an error. */
const ERROR_LEVEL = 50;

const errorsIn = (log: string): string[] =>
  log.split('\n').filter((line) => line.startsWith('{') && JSON.parse(line).level >= ERROR_LEVEL);

/** What was killed has its port until the system has ended it; its next process, a second later. */
async function listenAsSoonAsFree(port: number): Promise<Server> {
  for (;;) {
    try {
      const server = createServer().listen(port, '127.0.0.1');
      await once(server, 'listening');
      return server;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

async function stopsCleanly(server: ServerProcess, stop: () => void): Promise<void> {
  expect(server.temporal()).toBeDefined();
  const since = Date.now();
  stop();
  expect(await server.exit).toEqual({ code: 0, signal: null });
  expect(Date.now() - since).toBeLessThan(STOP_MS_MAX);
  expect(server.temporal()).toBeUndefined();
  expect(errorsIn(server.stderr())).toEqual([]);
}

const signals: [string, NodeJS.Signals[]][] = [
  ['SIGINT', ['SIGINT']],
  ['SIGTERM', ['SIGTERM']],
  ['SIGTERM twice in a row', ['SIGTERM', 'SIGTERM']],
];

it.each(signals)('%s ends it with exit code 0, leaves no process and logs no error', async (_what, sent) => {
  const server = await startServer();
  await stopsCleanly(server, () => {
    for (const [index, signal] of sent.entries()) setTimeout(() => server.kill(signal), index * 50);
  });
});

it('Ctrl-C in `npm start`, which reaches every process of the terminal, leaves no process', async () => {
  const server = spawnServer({ command: ['npm', 'start'], port: await freePort() });
  await server.ready();
  const below = descendantsOf(server.pid);
  expect(below.map(({ pid }) => pid)).toContain(server.temporal()?.pid);
  server.kill('SIGINT');
  await server.exit;
  expect(below.filter(({ pid }) => isRunning(pid))).toEqual([]);
});

it('SIGTERM to the process of `npm start` alone, as a supervisor sends it, stops the server as cleanly', async () => {
  const server = spawnServer({ command: ['npm', 'start'], port: await freePort() });
  await server.ready();
  const below = descendantsOf(server.pid);
  expect(below.map(({ pid }) => pid)).toContain(server.temporal()?.pid);
  process.kill(server.pid, 'SIGTERM');
  expect(await server.exit).toEqual({ code: 0, signal: null });
  await eventually(
    async () => below.filter(({ pid }) => isRunning(pid)),
    (left) => left.length === 0,
  );
  expect(errorsIn(server.stderr())).toEqual([]);
});

it('what a library has left open does not keep it', async () => {
  const leftOpen = `--import "data:text/javascript,setInterval(() => {}, 1_000)"`;
  const server = await startServer({ env: { NODE_OPTIONS: leftOpen } });
  await stopsCleanly(server, () => server.kill('SIGTERM'));
  expect(server.stderr()).toContain('Ending although something is still open');
});

it('a signal during the start ends it as cleanly', async () => {
  const server = spawnServer({ port: await freePort() });
  await eventually(async () => server.temporal(), Boolean);
  await stopsCleanly(server, () => server.kill('SIGINT'));
});

it('a stop with an open stream and a waiting call is no slower, and tells both callers the truth', async () => {
  const server = await startServer();
  const { api } = server;
  const [session, other] = [await api.session(), await api.session()];
  const frames: string[] = [];
  const streaming = (async () => {
    for await (const frame of api.stream(session.id, '[[tokens=2000 token_ms=10]]')) frames.push(frame.event);
  })();
  const waiting = api.post(`/v1/sessions/${other.id}/messages`, { content: '[[delay_ms=60000]]' });
  const isStreaming = async () => frames.length > 10;
  await eventually(isStreaming, Boolean);
  await stopsCleanly(server, () => server.kill('SIGTERM'));
  await streaming;
  expect(frames.at(-1)).toBe('content_delta');
  // It was accepted, and will be answered: whoever waits is told so instead of an error.
  expect((await waiting).status).toBe(202);
});

itLong(
  'it ends, to be started again, when another program keeps a port of its Temporal server',
  async () => {
    const server = await startServer();
    const session = await server.api.session();
    const port = readRecord(serverFiles(server.dataDir, TEMPORAL_CLI.version))?.ports.http ?? 0;
    process.kill(server.temporal()?.pid ?? 0, 'SIGKILL');
    const foreign = await listenAsSoonAsFree(port);
    expect(await server.exit).toEqual({ code: 1, signal: null });
    expect(server.stderr()).toContain(`${port}`);
    expect(server.stderr()).toContain('Start again');

    const next = await startServer({ dataDir: server.dataDir });
    expect(await next.api.send(session.id, 'Are you still there?')).toMatchObject({ status: 'completed' });
    foreign.close();
  },
  PORT_LOST_MS_MAX,
);
