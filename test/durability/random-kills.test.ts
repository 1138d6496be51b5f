// Twenty clients talk while processes are killed and stopped at random: every promise of the API holds.
import { writeFileSync } from 'node:fs';
import { isWebhookEvent } from '../../src/contracts/events.ts';
import { eventually } from '../support/api-client.ts';
import { startDeployment } from '../support/deployment.ts';
import { isLong } from '../support/long.ts';
import { findPostgres } from '../support/postgres.ts';
import { cleanUp } from '../support/process.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { successesOutside, violations } from './support/checks.ts';
import { createClient } from './support/client.ts';
import { RECOVERY_MS_MAX, startDev } from './support/dev-installation.ts';
import { record } from './support/figures.ts';
import { type Fault, harmUntil } from './support/harm.ts';
import type { Installation } from './support/installation.ts';
import { createLedger, type Entry, type Ledger } from './support/ledger.ts';
import { type ModelDouble, startModel } from './support/model.ts';
import { createRandom, SEED } from './support/random.ts';
import { readStories } from './support/read-back.ts';

const CLIENTS = 20;
/** Ten minutes in the long form. */
const SECONDS = Number(process.env.DURABILITY_SECONDS || (isLong ? 600 : 15));
const SUCCESSES_PER_SECOND_MIN = 1;
const TEST_MS_MAX = SECONDS * 1_000 + 4 * RECOVERY_MS_MAX;

const INSTALLATIONS: Record<string, (model: ModelDouble) => Promise<Installation>> = {
  'dev on SQLite': (model) => startDev({ modelUrl: model.url }),
  ...(findPostgres()
    ? {
        'api and worker processes on PostgreSQL': async ({ url: modelUrl }) => {
          const env = { OPENCLAW_EGRESS_ALLOW: '127.0.0.0/8' };
          const deployment = await startDeployment({ modelUrl, apis: 2, workers: 2, env });
          const parts = deployment.parts.filter((part) => isLong || part.name !== 'postgres');
          return { ...deployment, parts };
        },
      }
    : {}),
};

afterAll(cleanUp);

async function talkThrough(installation: Installation, ledger: Ledger): Promise<Fault[]> {
  const random = createRandom(SEED);
  const until = Date.now() + SECONDS * 1_000;
  let isOver = false;
  const api = () => installation.api();
  const clients = Array.from({ length: CLIENTS }, (_, index) =>
    createClient({ index, api, ledger, random: random.fork(`client ${index}`), isOver: () => isOver }),
  );
  const talking = Promise.all(clients.map((client) => client.run()));
  const faults = await harmUntil({ installation, ledger, random: random.fork('harm'), until });
  isOver = true;
  await inTime(talking, () => {
    const logs = process.env.DURABILITY_EVIDENCE;
    if (logs) writeFileSync(logs, JSON.stringify({ ...ledger, faults, logs: installation.logs() }, null, 1));
    return `Clients still wait: ${JSON.stringify(ledger.entries.filter(isOpen).map(briefly))}`;
  });
  return faults;
}

const isOpen = ({ mode, acknowledged, repliedAt, isAwaited }: Entry): boolean =>
  acknowledged === null || (repliedAt === null && (isAwaited || mode !== 'background'));

const briefly = ({ client, sessionId, content, mode, acknowledged, interrupted, frames }: Entry) => ({
  ...{ client, sessionId, content, mode, acknowledged, interrupted },
  lastFrame: frames.at(-1)?.id ?? null,
});

/** When all harm is over, an answer that a client still waits for after this is lost; who waits is told, with the evidence. */
async function inTime(work: Promise<unknown>, words: () => string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(words())), 2 * RECOVERY_MS_MAX);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

describe.each(Object.keys(INSTALLATIONS))(`${CLIENTS} clients of %s, for ${SECONDS} s`, (name) => {
  const ledger = createLedger();
  let installation: Installation;
  let model: ModelDouble;
  let receiver: Receiver;
  let faults: Fault[];
  let times: [number, number];

  beforeAll(async () => {
    process.stdout.write(`DURABILITY_SEED=${SEED}\n`);
    model = await startModel(() => ledger.reach('answered'));
    installation = await INSTALLATIONS[name]!(model);
    receiver = await startReceiver();
    await installation.api().post('/v1/webhooks', { url: receiver.url, events: ['*'] });
    const from = Date.now();
    faults = await talkThrough(installation, ledger);
    times = [from, Date.now()];
  }, TEST_MS_MAX);
  afterAll(async () => {
    await installation?.stop();
    await model?.close();
    await receiver?.stop();
  });

  it('have answered calls of their tools', () => {
    const answered = ledger.entries.filter(({ keys, reply }) => keys.length > 0 && reply);
    expect(answered.length).toBeGreaterThan(0);
  });

  it(
    'keep every promise that was made to them',
    async () => {
      const stories = await readStories(installation.api(), ledger);
      const found = violations({ ...ledger, stories, calls: model.calls, faults });
      const { perCalmSecond } = successesOutside(faults, ledger.successes, times);
      const row = {
        installation: name,
        clients: CLIENTS,
        seconds: SECONDS,
        seed: SEED,
        faults: faults.length,
        'acknowledged messages': ledger.entries.filter(({ acknowledged }) => acknowledged).length,
        'model calls': model.calls.length,
        events: stories.reduce((sum, { events }) => sum + events.length, 0),
        'successes a second outside the faults': Math.round(perCalmSecond),
        violations: found.length + ledger.faults.length,
      };
      record({ table: 'random', rows: [row] });
      const evidence = { ...ledger, faults, calls: model.calls, stories, logs: installation.logs() };
      if (process.env.DURABILITY_EVIDENCE)
        writeFileSync(process.env.DURABILITY_EVIDENCE, JSON.stringify(evidence, null, 1));
      expect(ledger.faults).toEqual([]);
      expect(found).toEqual([]);
    },
    TEST_MS_MAX,
  );

  it(
    'have every event sent to their webhook, at least once and with the same bytes each time',
    async () => {
      const stories = await readStories(installation.api(), ledger);
      const events = stories.flatMap((story) => story.events).filter(({ type }) => isWebhookEvent(type));
      expect(events.length).toBeGreaterThan(0);
      const missing = () => {
        const ids = new Set(receiver.received.map(({ event }) => event.id));
        return events
          .filter(({ id }) => !ids.has(id))
          .map(({ id, type, created_at }) => [id, type, created_at]);
      };
      await eventually(
        async () => missing(),
        (each) => each.length === 0,
        2 * RECOVERY_MS_MAX,
      );
      const bodies = new Map(events.map((event) => [event.id, JSON.stringify(event)]));
      const others = receiver.received.filter(
        ({ event, body }) => bodies.has(event.id) && bodies.get(event.id) !== body,
      );
      expect(others).toEqual([]);
      const row = {
        installation: name,
        events: events.length,
        'arrived more than once':
          receiver.received.length - new Set(receiver.received.map(({ event }) => event.id)).size,
        missing: missing().length,
      };
      record({ table: 'webhooks', rows: [row] });
    },
    TEST_MS_MAX,
  );

  it(`succeed at least ${SUCCESSES_PER_SECOND_MIN} time a second outside the faults`, () => {
    const { perCalmSecond, calmSeconds } = successesOutside(faults, ledger.successes, times);
    expect(calmSeconds).toBeGreaterThan(0);
    expect(perCalmSecond).toBeGreaterThanOrEqual(SUCCESSES_PER_SECOND_MIN);
  });
});
