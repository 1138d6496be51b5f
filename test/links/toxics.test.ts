// Links that are slow, silent, broken off or down: api to Redis, api to PostgreSQL, worker to Temporal, to the model and to the
// receiver of a webhook. Clients talk through all of it: no call fails in a way that is not in the API's document, and in the end
// everything is there once, and the receiver has been told all of it.
import { type Simulator, startSimulator } from '../../src/models/simulator.ts';
import { type ApiClient, createApiClient, eventually } from '../support/api-client.ts';
import { ADMIN_KEY, type Deployment, startDeployment } from '../support/deployment.ts';
import { isLong } from '../support/long.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { type Link, startToxiproxy, type Toxic, type Toxiproxy } from '../support/toxiproxy.ts';

const MODEL = 'worker to the Messages API';
const RECEIVER = 'worker to a receiver';
/** How long a link stays bad; a receiver's is back before the second try, for the third is minutes later. */
const badMsOf = (link: string): number => (isLong && link !== RECEIVER ? 12_000 : 3_000);
const CLIENTS = 3;
const READY_MS_MAX = 90_000;
const TEST_MS_MAX = 180_000;

const TOXICS: Record<string, Toxic> = {
  down: 'down',
  'broken off': { type: 'reset_peer', attributes: { timeout: 0 } },
  ...(isLong && {
    'slow by 2 s': { type: 'latency', attributes: { latency: 2_000, jitter: 500 } },
    silent: { type: 'timeout', attributes: { timeout: 0 } },
    'silent, then closed': { type: 'timeout', attributes: { timeout: 1_500 } },
    'cut into slices': { type: 'slicer', attributes: { average_size: 7, size_variation: 3, delay: 100 } },
    'closed after some bytes': { type: 'limit_data', attributes: { bytes: 4_000 } },
    narrow: { type: 'bandwidth', attributes: { rate: 2 } },
  }),
};

/** The short run sees one of each. */
const SHORT_TOXIC: Record<string, string> = {
  'api to Redis': 'down',
  'api to PostgreSQL': 'broken off',
  'worker to Temporal': 'down',
  [MODEL]: 'broken off',
  [RECEIVER]: 'down',
};
/** A delivery has a connection of its own, and is smaller than what the others send in that time. */
const RECEIVER_BYTES = 500;

let toxiproxy: Toxiproxy;
let simulator: Simulator;
let receiver: Receiver;
/** Where the server finds the receiver. */
let receiverUrl: string;
let deployment: Deployment;
/** Finds everything at its own address, and so tells what has really become of it. */
let witness: ServerProcess;
const links = new Map<string, Link>();

beforeAll(async () => {
  toxiproxy = await startToxiproxy();
  async function through(name: string, url: string): Promise<string> {
    const address = new URL(url);
    const link = await toxiproxy.link(name.replaceAll(' ', '-'), address.host);
    links.set(name, link);
    address.host = link.address;
    return address.href;
  }
  simulator = await startSimulator({ echoOnly: true });
  receiver = await startReceiver();
  receiverUrl = await through(RECEIVER, receiver.url);
  deployment = await startDeployment({
    env: { OPENCLAW_EGRESS_ALLOW: '127.0.0.1' },
    apis: 1,
    workers: 1,
    redis: true,
    links: async ({ DATABASE_URL, REDIS_URL, TEMPORAL_ADDRESS }) => ({
      api: {
        DATABASE_URL: await through('api to PostgreSQL', DATABASE_URL),
        REDIS_URL: await through('api to Redis', REDIS_URL!),
      },
      worker: {
        TEMPORAL_ADDRESS: new URL(await through('worker to Temporal', `http://${TEMPORAL_ADDRESS}`)).host,
        ANTHROPIC_BASE_URL: await through(MODEL, simulator.url),
      },
    }),
  });
  witness = await startServer({ role: 'api', env: deployment.env });
}, READY_MS_MAX);
afterAll(async () => {
  await Promise.all([...links.values()].map((link) => link.heal()));
  await deployment?.stop();
  await cleanUp();
  await toxiproxy?.stop();
  await simulator?.close();
  await receiver?.stop();
}, READY_MS_MAX);

/** Says one thing after the other in a session of its own, and each again, with its key, until it is answered. */
async function talk(api: ApiClient, statuses: Map<number, number>) {
  const { id } = await api.session();
  const answers: { id: string; content: string }[] = [];
  let over = false;
  async function say(index: number) {
    const body = { content: `[[tokens=4 token_ms=20]] thing ${index}` };
    const answer = await api.post(`/v1/sessions/${id}/messages`, body, {
      'Idempotency-Key': `thing ${index}`,
    });
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    return answer;
  }
  async function readOn(): Promise<void> {
    while (!over) {
      const { status } = await api.get(`/v1/sessions/${id}`);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  async function talkOn(): Promise<void> {
    for (let index = 0; !over; index += 1) {
      const { body } = await eventually(
        () => say(index),
        ({ status }) => status === 200,
        READY_MS_MAX,
      );
      expect(body).toMatchObject({ status: 'completed', error: null });
      answers.push(body);
    }
  }
  const both = Promise.all([talkOn(), readOn()]);
  return {
    id,
    answers,
    end() {
      over = true;
      return both;
    },
  };
}

type Talk = Awaited<ReturnType<typeof talk>>;

/** Every talk gets one answer more. */
async function allGoOn(talks: Talk[]): Promise<void> {
  const before = talks.map(({ answers }) => answers.length);
  const now = async () => talks.map(({ answers }) => answers.length);
  await eventually(now, (counts) => counts.every((count, index) => count > before[index]!), READY_MS_MAX);
}

/** What was acknowledged is in the log and in the conversation, once and in order. */
async function expectWhole(api: ApiClient, { id, answers }: Talk): Promise<void> {
  const events = await api.events(id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  const ofType = (type: string) => events.filter((event) => event.type === type);
  const said = ofType('message.created').filter(({ message }) => message.role === 'user');
  expect(said.map(({ message }) => message.content.split(' ').at(-1))).toEqual(
    answers.map((_, index) => String(index)),
  );
  expect(ofType('message.completed').map(({ message }) => [message.id, message.content])).toEqual(
    answers.map((answer) => [answer.id, answer.content]),
  );
}

const EVENTS = ['message.created', 'message.completed'];

/** Each event of the log has come, and whenever it came, with the same id and bytes. */
async function expectTold(api: ApiClient, { id }: Talk): Promise<void> {
  const own = (all: Received[]) => all.filter(({ event }) => event.session_id === id);
  const ids = (all: Received[]) => new Set(own(all).map(({ headers }) => headers['webhook-id']));
  const events = (await api.events(id)).filter(({ type }) => EVENTS.includes(type));
  const received = own(await receiver.until((all) => ids(all).size >= events.length, READY_MS_MAX));
  expect([...ids(received)].sort()).toEqual(events.map((event) => event.id).sort());
  const bodies = new Set(received.map(({ body }) => body));
  expect([...bodies].map((body) => JSON.parse(body)).sort((a, b) => a.seq - b.seq)).toEqual(events);
}

function toxicOf(link: string, name: string): Toxic {
  const toxic = TOXICS[name]!;
  const isTooWide = link === RECEIVER && toxic !== 'down' && toxic.type === 'limit_data';
  return isTooWide ? { ...toxic, attributes: { bytes: RECEIVER_BYTES } } : toxic;
}

const cases = Object.keys(SHORT_TOXIC).flatMap((link) =>
  Object.keys(TOXICS)
    .filter((toxic) => isLong || SHORT_TOXIC[link] === toxic)
    .map((toxic) => [link, toxic] as const),
);

it.each(cases)(
  'the link of %s is %s: no 500, nothing lost, nothing twice',
  async (name, toxic) => {
    const api = deployment.api();
    const link = links.get(name)!;
    const statuses = new Map<number, number>();
    const hook = await api.post('/v1/webhooks', { url: receiverUrl, events: EVENTS });
    const talks = await Promise.all(Array.from({ length: CLIENTS }, () => talk(api, statuses)));
    await allGoOn(talks);
    await link.poison(toxicOf(name, toxic));
    await new Promise((resolve) => setTimeout(resolve, badMsOf(name)));
    await link.heal();
    const healedAt = Date.now();
    await allGoOn(talks);
    const backMs = Date.now() - healedAt;
    await Promise.all(talks.map((each) => each.end()));
    const truth = createApiClient(witness.url, ADMIN_KEY);
    for (const each of talks) {
      await expectWhole(truth, each);
      await expectTold(truth, each);
    }
    const toldMs = Date.now() - healedAt;
    const counts = [...statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
    process.stdout.write(
      `${name} ${toxic}: ${counts.join(', ')}; all went on ${backMs} ms after it, the receiver knew all after ${toldMs} ms\n`,
    );
    for (const status of statuses.keys()) expect([200, 202, 503]).toContain(status);
    // Neither without Redis nor for a model or a receiver is any call refused.
    if (['api to Redis', MODEL, RECEIVER].includes(name)) expect([...statuses.keys()]).toEqual([200]);
    await truth.delete(`/v1/webhooks/${hook.body.id}`);
  },
  TEST_MS_MAX,
);
