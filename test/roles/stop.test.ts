// SIGTERM while a hundred streams are open and fifty turns are under way: every stream ends so that it can be gone on with,
// nobody new is let in, and no turn is lost.
import { connect } from 'node:net';
import { eventually } from '../support/api-client.ts';
import { type Deployment, type ProcessPart, startDeployment } from '../support/deployment.ts';
import { itLong } from '../support/long.ts';
import { expectResumed, isOver, openStreams } from '../support/open-streams.ts';
import { cleanUp, startServer } from '../support/process.ts';

const TURNS = 50;
const WORDS = 32;
/** Slow, so that a small machine writes fifty of them at once, and that most are under way at the stop. */
const CONTENT = `[[tokens=${WORDS} token_ms=250]]`;
const STOP_MS_MAX = 10_000;
const TEST_MS_MAX = 120_000;

afterAll(cleanUp, TEST_MS_MAX);

const note = (text: string): boolean => process.stdout.write(`${text}\n`);

const isRefused = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(false));
    socket.on('error', () => resolve(true)).on('connect', () => socket.destroy());
  });

const refusesFrom = (port: number) => eventually(() => isRefused(port), Boolean);

type Readings = Awaited<ReturnType<typeof openStreams>>;

/** @returns how long the last stream was open after `from`. */
async function lastEnd(readings: Readings, from: number): Promise<number> {
  const ends = await Promise.all(readings.map(({ ended }) => ended));
  return Math.max(...ends.map(({ at }) => at)) - from;
}

describe('of an api and a worker at once', () => {
  let deployment: Deployment;
  beforeAll(async () => {
    deployment = await startDeployment({ redis: true });
  }, TEST_MS_MAX);
  afterAll(() => deployment?.stop(), TEST_MS_MAX);

  it(
    'every stream ends within 10 s, whole, and goes on at the other api, where every turn is answered',
    async () => {
      const [victim, other] = deployment.apis();
      const worker = deployment.workers()[0]!;
      const readings = await openStreams(victim!.url, victim!.client, CONTENT, TURNS);
      const from = Date.now();
      const gone = (part: ProcessPart) => part.process().stop('SIGTERM');
      const exits = Promise.all([gone(victim!), gone(worker)]);
      await refusesFrom(Number(new URL(victim!.url).port));
      const refusedMs = Date.now() - from;
      const endMs = await lastEnd(readings, from);
      expect(await exits).toEqual([
        { code: 0, signal: null },
        { code: 0, signal: null },
      ]);
      const goneMs = Date.now() - from;
      note(
        `SIGTERM with ${readings.length} streams: refuses after ${refusedMs} ms, the last stream ended after ${endMs} ms, gone after ${goneMs} ms`,
      );
      expect(goneMs).toBeLessThan(STOP_MS_MAX);
      const logs = await Promise.all(readings.map((reading) => expectResumed(other!.client, reading)));
      for (const events of logs)
        expect(events.filter(({ type }) => type === 'message.completed')).toHaveLength(1);
      expect(readings.filter(isOver).length).toBeLessThan(TURNS);
    },
    TEST_MS_MAX,
  );
});

itLong(
  'of `dev`: every stream ends within 10 s, whole, and goes on after the next start, where every turn is answered',
  async () => {
    const env = { OPENCLAW_RATE_LIMIT_PER_MINUTE: '1000000' };
    const server = await startServer({ env });
    const readings = await openStreams(server.url, server.api, CONTENT, TURNS);
    const from = Date.now();
    const exit = server.stop('SIGTERM');
    await refusesFrom(server.port);
    const endMs = await lastEnd(readings, from);
    expect(await exit).toEqual({ code: 0, signal: null });
    const goneMs = Date.now() - from;
    note(
      `SIGTERM of dev with ${readings.length} streams: the last one ended after ${endMs} ms, gone after ${goneMs} ms`,
    );
    expect(goneMs).toBeLessThan(STOP_MS_MAX);
    const next = await startServer({ dataDir: server.dataDir, env });
    await Promise.all(readings.map((reading) => expectResumed(next.api, reading)));
    expect(readings.filter(isOver).length).toBeLessThan(TURNS);
    await next.stop();
  },
  TEST_MS_MAX,
);
