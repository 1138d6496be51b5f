// Ends that the other suites do not bring about, in the middle of answers: nothing is lost, nothing is answered twice.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/api-client.ts';
import { isLong } from '../support/long.ts';
import { cleanUp, kill9 } from '../support/process.ts';
import { violations } from './support/checks.ts';
import { createClient } from './support/client.ts';
import { type DevInstallation, RECOVERY_MS_MAX, startDev } from './support/dev-installation.ts';
import { createLedger, type Entry, type Ledger } from './support/ledger.ts';
import { type ModelDouble, startModel } from './support/model.ts';
import { createRandom, SEED } from './support/random.ts';
import { readStories } from './support/read-back.ts';

const LONG_ANSWER = '[[tokens=150 token_ms=10]]';
/** The first ones; how it stops is asked in `test/start` and `test/roles` as well. */
const SHORT_HARMS = 2;
const TEST_MS_MAX = 2 * RECOVERY_MS_MAX;

afterAll(cleanUp);

const killBoth = (dev: DevInstallation) => Promise.all(dev.parts.map((part) => part.kill()));

const harms: Record<string, (dev: DevInstallation) => Promise<unknown>> = {
  'kill -9 of its Temporal server': (dev) => kill9(dev.temporalPid() ?? 0),

  "kill -9 of both and the loss of Temporal's data": async (dev) => {
    await killBoth(dev);
    rmSync(join(dev.server().dataDir, 'temporal'), { recursive: true });
    await dev.start();
  },

  'SIGTERM, and kill -9 while it stops': async (dev) => {
    dev.server().kill('SIGTERM');
    const isStopping = async () => dev.server().stderr().includes('Stopping');
    await eventually(isStopping, Boolean);
    dev.server().kill('SIGKILL');
    await dev.server().exit;
    await dev.start();
  },

  SIGTERM: async (dev) => {
    expect(await dev.server().stop('SIGTERM')).toEqual({ code: 0, signal: null });
    await dev.start();
  },
};

const chosen = Object.keys(harms).slice(0, isLong ? undefined : SHORT_HARMS);

describe.each(chosen)('after %s in the middle of answers', (name) => {
  let model: ModelDouble;
  let dev: DevInstallation;
  let ledger: Ledger;
  let client: ReturnType<typeof createClient>;
  let pidBefore: number;
  let temporalBefore: number | undefined;
  let streamed: Entry;
  let queued: Entry[];

  beforeAll(async () => {
    model = await startModel();
    dev = await startDev({ modelUrl: model.url });
    ledger = createLedger();
    client = createClient({
      index: 1,
      api: dev.api,
      ledger,
      random: createRandom(SEED),
      isOver: () => false,
    });
    pidBefore = dev.server().pid;
    temporalBefore = dev.temporalPid();
    const ids = [await client.newSession(1), await client.newSession(2), await client.newSession(3)] as const;
    const isStreaming = ledger.next('streaming');
    const waiting = [client.send(ids[0], 'stream', LONG_ANSWER), client.send(ids[1], 'sync', LONG_ANSWER)];
    queued = [await client.send(ids[2], 'background', LONG_ANSWER)];
    for (let index = 0; index < 3; index += 1) queued.push(await client.send(ids[2], 'background', ''));
    await isStreaming;
    await harms[name]!(dev);
    [streamed] = (await Promise.all(waiting)) as [Entry, Entry];
    await Promise.all(queued.map((entry) => client.await(entry)));
  }, TEST_MS_MAX);
  afterAll(async () => {
    await dev?.stop();
    await model?.close();
  });

  it('every promise was kept to the one who streamed, the one who waited and the one who queued', async () => {
    const stories = await readStories(dev.api(), ledger);
    const faults = [{ from: 0, until: Date.now(), what: 'kill', times: 1 }];
    expect(ledger.faults).toEqual([]);
    expect(violations({ ...ledger, stories, calls: model.calls, faults })).toEqual([]);
    expect(ledger.entries.map(({ reply }) => reply.status)).toEqual(Array(6).fill('completed'));
  });

  if (name === 'kill -9 of its Temporal server')
    it('the server has gone on with another Temporal server, and no reader was cut off', () => {
      expect(dev.server().pid).toBe(pidBefore);
      expect(dev.temporalPid()).not.toBe(temporalBefore);
      const seqs = streamed.frames.map(({ id }) => id ?? 0);
      expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
    });

  it('it still converses, and knows what was said', async () => {
    const entry = await client.send(queued[0]!.sessionId, 'sync', 'Are you still there?');
    expect(entry.reply.content).toContain('Are you still there?');
    const asked = model.callsOf(entry.content);
    expect(asked).toHaveLength(1);
  });
});
