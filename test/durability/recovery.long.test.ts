// How soon interrupted turns go on after the ready line, for kills at the points where most can go wrong.
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/api-client.ts';
import { cleanUp, type ServerProcess } from '../support/process.ts';
import { violations } from './support/checks.ts';
import { createClient } from './support/client.ts';
import { type DevInstallation, RECOVERY_MS_MAX, startDev } from './support/dev-installation.ts';
import { quantile, record } from './support/figures.ts';
import type { Fault } from './support/harm.ts';
import { createLedger, type Entry } from './support/ledger.ts';
import { type ModelDouble, startModel } from './support/model.ts';
import { createRandom, SEED } from './support/random.ts';
import { readStories } from './support/read-back.ts';

const ROUNDS = Number(process.env.DURABILITY_ROUNDS || 20);
/** The aim for `dev`; half of the turns must reach it on any machine, and none may wait for one of Temporal's time-outs. */
const AIM_MS = 1_000;
const WORST_MS = 7_000;
/** From a 202 to well after the turn has begun. */
const AFTER_202_MS_MAX = 25;
const ANSWER = '[[tokens=40 token_ms=10]]';
const LONG_ANSWER = '[[tokens=200 token_ms=10]]';
const CASE_MS_MAX = 30_000 + ROUNDS * 30_000;

const ledger = createLedger();
const faults: Fault[] = [];
const random = createRandom(SEED);
let model: ModelDouble;
let dev: DevInstallation;
let client: ReturnType<typeof createClient>;
let sessions = 0;

beforeAll(async () => {
  process.stdout.write(`DURABILITY_SEED=${SEED}\n`);
  model = await startModel();
  dev = await startDev({ modelUrl: model.url });
  client = createClient({ index: 1, api: dev.api, ledger, random, isOver: () => false });
}, RECOVERY_MS_MAX);
afterAll(async () => {
  await dev?.stop();
  await model?.close();
  await cleanUp();
});

function newSession(): Promise<string> {
  sessions += 1;
  return client.newSession(sessions);
}

const ask = async (markers: string): Promise<Entry> => client.send(await newSession(), 'background', markers);

const killServer = (): Promise<void> => dev.partsNamed(['openclaw'])[0]!.kill();

/** The answer is being streamed: its first pieces are in the log. */
async function untilStreaming({ sessionId, acknowledged }: Entry): Promise<void> {
  const path = `/v1/sessions/${sessionId}/messages/${acknowledged?.replyId}`;
  const text = async (): Promise<string> => (await dev.api().get(path)).body.content;
  await eventually(text, (content) => content !== '');
}

interface Killed {
  entries: Entry[];
  killedAt: number;
}

/** Each leaves the process dead, with turns that it owes. */
const points: Record<string, () => Promise<Killed>> = {
  async 'right after a 202'() {
    const sessionId = await newSession();
    // Every other time in a session that has talked before, whose workflow the dead worker had in memory.
    if (sessions % 2 === 0) await client.send(sessionId, 'sync', '');
    const entry = await client.send(sessionId, 'background', ANSWER);
    await sleep(random.between(0, AFTER_202_MS_MAX));
    const killedAt = Date.now();
    await killServer();
    return { entries: [entry], killedAt };
  },

  async 'right after twenty 202s'() {
    const entries = await Promise.all(Array.from({ length: 20 }, () => ask(ANSWER)));
    const killedAt = Date.now();
    await killServer();
    return { entries, killedAt };
  },

  async 'while answers stream'() {
    const entries = await Promise.all(Array.from({ length: 5 }, () => ask(LONG_ANSWER)));
    await Promise.all(entries.map(untilStreaming));
    const killedAt = Date.now();
    await killServer();
    return { entries, killedAt };
  },

  async "between the model's answer and its recording"() {
    const entry = await ask(ANSWER);
    await untilStreaming(entry);
    // Stopped it can record nothing, while the model says all that it has to say.
    dev.server().kill('SIGSTOP');
    const outcome = async () => model.callsOf(entry.content)[0]?.outcome;
    await eventually(outcome, (found) => found === 'completed');
    const killedAt = Date.now();
    await killServer();
    return { entries: [entry], killedAt };
  },

  async 'together with its Temporal server, while an answer streams'() {
    const entry = await ask(LONG_ANSWER);
    await untilStreaming(entry);
    const killedAt = Date.now();
    await Promise.all(dev.parts.map((part) => part.kill()));
    return { entries: [entry], killedAt };
  },

  async 'right after a 202, and again as soon as it is ready'() {
    const { entries } = await points['right after a 202']!();
    await dev.start();
    const killedAt = Date.now();
    await killServer();
    return { entries, killedAt };
  },

  async 'right after a 202, and again in the middle of its start'() {
    const { entries } = await points['right after a 202']!();
    const start = dev.start().catch(() => undefined);
    // A start takes about a second; its worker comes first, and takes what it finds.
    await sleep(random.between(300, 1_200));
    const killedAt = Date.now();
    await killServer();
    await start;
    return { entries, killedAt };
  },
};

interface Recovered {
  /** From the ready line to the first event that is new; below zero when the worker was quicker than the line. */
  takenMs: number;
  /** From the ready line to the end of the answer, without the time that the model took for it. */
  endedMs: number;
  calls: number;
}

async function recovered(entry: Entry, killedAt: number, life: ServerProcess): Promise<Recovered> {
  await client.await(entry);
  const readyAt = life.readyAt() ?? Number.NaN;
  const events = await dev.api().events(entry.sessionId);
  const isNew = (event: any) =>
    event.message_id === entry.acknowledged?.replyId && Date.parse(event.created_at) >= killedAt;
  const calls = model.callsOf(entry.content);
  const last = calls.at(-1);
  const modelMs = (last?.endedAt ?? 0) - (last?.at ?? 0);
  return {
    takenMs: Date.parse(events.find(isNew)?.created_at) - readyAt,
    endedMs: Date.parse(entry.reply.completed_at) - readyAt - modelMs,
    calls: calls.length,
  };
}

async function round(name: string): Promise<Recovered[]> {
  const { entries, killedAt } = await points[name]!();
  const life = await dev.start();
  const found = await Promise.all(entries.map((entry) => recovered(entry, killedAt, life)));
  faults.push({ from: killedAt, until: Date.now(), what: 'kill openclaw', times: 1 });
  return found;
}

describe.each(Object.keys(points))('killed %s', (name) => {
  let found: Recovered[];

  beforeAll(async () => {
    found = [];
    for (let index = 0; index < ROUNDS; index += 1) found.push(...(await round(name)));
    const taken = found.map(({ takenMs }) => takenMs);
    const ended = found.map(({ endedMs }) => endedMs);
    const row = {
      killed: name,
      kills: ROUNDS,
      turns: found.length,
      'first event, median ms': quantile(taken, 0.5),
      'first event, worst ms': quantile(taken, 1),
      'answered, median ms': quantile(ended, 0.5),
      'answered, worst ms': quantile(ended, 1),
      'model calls a turn, most': Math.max(...found.map(({ calls }) => calls)),
    };
    record({ table: 'recovery', rows: [row] });
  }, CASE_MS_MAX);

  it(`its turns go on within ${AIM_MS} ms of the ready line`, () => {
    const taken = found.map(({ takenMs }) => takenMs);
    expect(quantile(taken, 0.5)).toBeLessThanOrEqual(AIM_MS);
    expect(quantile(taken, 1)).toBeLessThanOrEqual(WORST_MS);
  });

  it('each answer cost at most one model call more', () => {
    const most = name.includes('again') ? 3 : 2;
    expect(Math.max(...found.map(({ calls }) => calls))).toBeLessThanOrEqual(most);
  });
});

it(
  'every promise was kept through all of this',
  async () => {
    const stories = await readStories(dev.api(), ledger);
    expect(ledger.faults).toEqual([]);
    expect(violations({ ...ledger, stories, calls: model.calls, faults })).toEqual([]);
  },
  RECOVERY_MS_MAX,
);
