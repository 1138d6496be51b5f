// Processes of a deployment are killed, replaced and stopped while they answer; the others keep its promises.
import pg from 'pg';
import { type Answer, eventually, type SseFrame } from '../support/api-client.ts';
import { type Deployment, type ProcessPart, startDeployment } from '../support/deployment.ts';
import { itLong } from '../support/long.ts';
import { cleanUp } from '../support/process.ts';
import { answered, ask, expectOneAnswer, expectPrefix, gapFreeEvents, watch } from './turn.ts';

const WORDS = 150;
const LONG_ANSWER = `[[tokens=${WORDS} token_ms=20]]`;
const DELTAS_SEEN_MIN = 10;
/** The promise of the design: a killed worker's turn goes on elsewhere. */
const TAKEN_UP_MS_MAX = 7_000;
const STOP_MS_MAX = 10_000;
/** A call while PostgreSQL is away waits for a connection at most 3 s. */
const CALL_MS_MAX = 6_000;
const TEST_MS_MAX = 90_000;
const ERROR_LEVEL = 50;

let deployment: Deployment;
let database: pg.Pool;
beforeAll(async () => {
  deployment = await startDeployment();
  database = new pg.Pool({ connectionString: deployment.databaseUrl });
  database.on('error', () => undefined);
}, TEST_MS_MAX);
afterAll(async () => {
  await database?.end();
  await deployment?.stop();
  await cleanUp();
}, TEST_MS_MAX);

const note = (text: string): boolean => process.stdout.write(`${text}\n`);
const clients = () => deployment.apis().map(({ client }) => client);
const pidsOf = (parts: ProcessPart[]) => parts.map((part) => part.process().pid);

/** The worker process that holds the lease of the session's turn. */
async function writerOf(sessionId: string): Promise<ProcessPart> {
  const ask = () => database.query('select lease_worker from sessions where id = $1', [sessionId]);
  const { rows } = await eventually(ask, (found) => found.rows[0]?.lease_worker);
  const writer = deployment.workers().find((part) =>
    part
      .process()
      .stderr()
      .includes(rows[0].lease_worker as string),
  );
  if (!writer) throw new Error(`No worker has logged that it is ${rows[0].lease_worker}`);
  return writer;
}

/** A turn under way, with a reader that has seen some of it. */
async function underWay(api = deployment.api()) {
  const { id: sessionId } = await api.session();
  const stream = watch(api, sessionId, LONG_ANSWER);
  const hasSpoken = async () => stream.deltas().length >= DELTAS_SEEN_MIN;
  await eventually(hasSpoken, Boolean);
  return { sessionId, replyId: stream.replyId(), stream };
}

/** The answer, whole and once, the same in both apis, and what its reader saw is a part of it. */
async function expectWhole(turn: Awaited<ReturnType<typeof underWay>>): Promise<any[]> {
  const [one, two] = clients();
  const message = await answered(one!, turn);
  expect(await answered(two!, turn)).toEqual(message);
  const events = await expectOneAnswer(one!, turn, WORDS);
  expect(await two!.events(turn.sessionId)).toEqual(events);
  await turn.stream.ended;
  expectPrefix(turn.stream.frames, events, turn.replyId);
  return events;
}

/** How long after `at` the turn went on in another attempt. */
function takenUpAfter(events: any[], at: number): number {
  const reset = events.find(
    ({ type, created_at }) => type === 'message.reset' && Date.parse(created_at) >= at,
  );
  return Date.parse(reset?.created_at) - at;
}

it(
  'kill -9 of the worker that writes: another one finishes the answer',
  async () => {
    const turn = await underWay();
    const writer = await writerOf(turn.sessionId);
    const at = Date.now();
    await writer.kill();
    const events = await expectWhole(turn);
    const takenMs = takenUpAfter(events, at);
    note(`kill -9 of the worker that writes: taken up by another one after ${takenMs} ms`);
    expect(takenMs).toBeLessThan(TAKEN_UP_MS_MAX);
    expect(await turn.stream.ended).toBe('ended');
    await writer.revive();
  },
  TEST_MS_MAX,
);

it(
  'kill -9 of an api: the other serves, and a repeated call with its key joins the answer',
  async () => {
    const [victim, other] = deployment.apis();
    const { id } = await victim!.client.session();
    const key = { 'Idempotency-Key': 'joined' };
    const send = (part: ProcessPart) =>
      part.client.post(`/v1/sessions/${id}/messages`, { content: LONG_ANSWER }, key);
    const first = send(victim!).catch(() => 'cut');
    const turn = await underWay(victim!.client);
    await victim!.kill();
    expect(await first).toBe('cut');
    expect(await turn.stream.ended).toBe('cut');
    const { status, headers, body } = await send(other!);
    expect([status, headers.get('idempotent-replayed')]).toEqual([200, 'true']);
    await expectOneAnswer(other!.client, { sessionId: id, replyId: body.id }, WORDS);
    await victim!.revive();
    await expectWhole(turn);
  },
  TEST_MS_MAX,
);

it(
  "kill -9 of an api under a feed's reader: at the other api it gets exactly what it missed",
  async () => {
    const [victim, other] = deployment.apis();
    const turn = await underWay(other!.client);
    const seen: SseFrame[] = [];
    const reading = (async () => {
      for await (const frame of victim!.client.follow(turn.sessionId, '?after=0')) seen.push(frame);
    })().catch(() => 'cut');
    const hasRead = async () => seen.filter(({ event }) => event === 'message.delta').length;
    await eventually(hasRead, (count) => count >= DELTAS_SEEN_MIN);
    await victim!.kill();
    expect(await reading).toBe('cut');
    await answered(other!.client, turn);
    // The session goes on while the reader is away.
    await other!.client.send(turn.sessionId, 'One more');
    const headers = { 'Last-Event-ID': String(seen.at(-1)?.id) };
    const all = await other!.client.events(turn.sessionId);
    const missed: SseFrame[] = [];
    for await (const frame of other!.client.follow(turn.sessionId, '?after=0', headers)) {
      if (frame.id !== null) missed.push(frame);
      if (frame.id === all.length) break;
    }
    expect([...seen.slice(1), ...missed].map(({ data }) => data)).toEqual(all);
    await victim!.revive();
  },
  TEST_MS_MAX,
);

it(
  'PostgreSQL is killed and comes back: 503 meanwhile, no process ends, nothing is lost, who waits and follows is answered',
  async () => {
    const before = pidsOf([...deployment.apis(), ...deployment.workers()]);
    const [one, two] = clients();
    const turn = await underWay(one!);
    const { id } = await two!.session();
    const waiting = two!.post(`/v1/sessions/${id}/messages`, { content: LONG_ANSWER });
    const isAccepted = async () => (await two!.get(`/v1/sessions/${id}/messages`)).body.data.length;
    await eventually(isAccepted, (count) => count > 0);
    const postgres = deployment.named('postgres');
    await postgres.kill();
    const answers: Answer[] = [];
    for (const client of [one!, two!, one!, two!]) {
      const from = Date.now();
      answers.push(await client.get(`/v1/sessions/${turn.sessionId}`));
      answers.push(await client.post('/v1/sessions', { model: 'claude-haiku' }));
      expect(Date.now() - from).toBeLessThan(2 * CALL_MS_MAX);
    }
    for (const { status, headers } of answers)
      expect([status, Number(headers.get('retry-after')) > 0]).toEqual([503, true]);
    const isReady = async () => (await one!.get('/readyz')).body.checks.store.status;
    expect(await isReady()).toBe('failed');
    await postgres.revive();
    const backAt = Date.now();
    await eventually(isReady, (status) => status === 'ok');
    await expectWhole(turn);
    expect(await turn.stream.ended).toBe('ended');
    expect(await waiting).toMatchObject({ status: 200, body: { status: 'completed' } });
    note(`PostgreSQL back: the interrupted answer was whole after ${Date.now() - backAt} ms`);
    expect(await two!.send(turn.sessionId, 'Still there?')).toMatchObject({ status: 'completed' });
    expect(pidsOf([...deployment.apis(), ...deployment.workers()])).toEqual(before);
  },
  TEST_MS_MAX,
);

itLong(
  'Temporal is killed and comes back: no process ends, nothing is lost',
  async () => {
    const before = pidsOf([...deployment.apis(), ...deployment.workers()]);
    const turn = await underWay();
    await deployment.named('temporal').kill();
    await deployment.named('temporal').revive();
    await expectWhole(turn);
    await deployment.untilReady();
    expect(pidsOf([...deployment.apis(), ...deployment.workers()])).toEqual(before);
  },
  TEST_MS_MAX,
);

const errorsIn = (log: string): string[] =>
  log.split('\n').filter((line) => line.startsWith('{') && JSON.parse(line).level >= ERROR_LEVEL);

async function expectCleanStop(part: ProcessPart): Promise<void> {
  const said = part.process().stderr().length;
  const from = Date.now();
  expect(await part.process().stop('SIGTERM')).toEqual({ code: 0, signal: null });
  const ms = Date.now() - from;
  note(`SIGTERM of ${part.name}: gone after ${ms} ms`);
  expect(ms).toBeLessThan(STOP_MS_MAX);
  expect(errorsIn(part.process().stderr().slice(said))).toEqual([]);
}

/** A client that talks without a pause and repeats, with its key, what was not answered. */
function talkOn(sessionId: string) {
  const replies: string[] = [];
  let over = false;
  const send = (index: number) => {
    const body = { content: `[[tokens=10 token_ms=20]] ${index}` };
    const key = { 'Idempotency-Key': `during the deploy ${index}` };
    return deployment
      .api()
      .post(`/v1/sessions/${sessionId}/messages`, body, key)
      .catch(() => ({ status: 0, body: null }));
  };
  const done = (async () => {
    for (let index = 0; !over; index += 1) {
      // A server that stops answers a waiting call with 202, one that is gone not at all.
      const { body } = await eventually(
        () => send(index),
        ({ status }) => ![0, 202, 503].includes(status),
        TEST_MS_MAX,
      );
      expect(body).toMatchObject({ status: 'completed' });
      replies.push(body.id);
    }
  })();
  const goesOn = async () => {
    const before = replies.length;
    const count = async () => replies.length;
    await eventually(count, (now) => now > before);
  };
  async function end(): Promise<string[]> {
    over = true;
    await done;
    return replies;
  }
  return { goesOn, end };
}

itLong(
  'a rolling deploy hands every turn over and is noticed by nobody who tries again',
  async () => {
    await deployment.untilReady();
    const { id } = await deployment.api().session();
    const talk = talkOn(id);
    const turn = await underWay();
    const writer = await writerOf(turn.sessionId);
    const others = deployment.workers().filter((part) => part !== writer);
    const at = Date.now();
    for (const part of [writer, ...others, ...deployment.apis()]) {
      await expectCleanStop(part);
      await talk.goesOn();
      await part.revive();
      await talk.goesOn();
    }
    const replies = await talk.end();
    const takenMs = takenUpAfter(await expectWhole(turn), at);
    note(`SIGTERM of the worker that writes: taken up by another one after ${takenMs} ms`);
    expect(takenMs).toBeLessThan(TAKEN_UP_MS_MAX);
    const events = await gapFreeEvents(deployment.api(), id);
    const completed = events.filter(({ type }) => type === 'message.completed');
    expect(completed.map(({ message_id }) => message_id)).toEqual(replies);
  },
  2 * TEST_MS_MAX,
);

itLong(
  'with no worker left messages are still accepted, and the next worker answers them',
  async () => {
    for (const part of deployment.workers()) await part.process().stop('SIGTERM');
    const { id } = await deployment.api().session();
    const asked = await ask(deployment.api(), id, 'Is anybody there?');
    await deployment.workers()[0]!.revive();
    expect((await answered(deployment.api(), asked)).content).toContain('Is anybody there?');
  },
  TEST_MS_MAX,
);
