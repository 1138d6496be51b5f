// Links that are slow, silent, broken off or down: api to Redis, api to PostgreSQL, worker to Temporal. Clients talk through all
// of it: no call fails in a way that is not in the API's document, and in the end everything is there once.
import { type ApiClient, createApiClient, eventually } from '../support/api-client.ts';
import { ADMIN_KEY, type Deployment, startDeployment } from '../support/deployment.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { type Link, startToxiproxy, type Toxic, type Toxiproxy } from '../support/toxiproxy.ts';

const IS_LONG = process.env.TEST_LONG === '1';
/** How long a link stays bad. */
const BAD_MS = IS_LONG ? 12_000 : 3_000;
const CLIENTS = 3;
const READY_MS_MAX = 90_000;
const TEST_MS_MAX = 180_000;

const TOXICS: Record<string, Toxic> = {
  down: 'down',
  'broken off': { type: 'reset_peer', attributes: { timeout: 0 } },
  ...(IS_LONG && {
    'slow by 2 s': { type: 'latency', attributes: { latency: 2_000, jitter: 500 } },
    silent: { type: 'timeout', attributes: { timeout: 0 } },
    'silent, then closed': { type: 'timeout', attributes: { timeout: 1_500 } },
    'cut into slices': { type: 'slicer', attributes: { average_size: 7, size_variation: 3, delay: 100 } },
    'closed after some bytes': { type: 'limit_data', attributes: { bytes: 4_000 } },
    narrow: { type: 'bandwidth', attributes: { rate: 2 } },
  }),
};

let toxiproxy: Toxiproxy;
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
  deployment = await startDeployment({
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

const cases = ['api to Redis', 'api to PostgreSQL', 'worker to Temporal'].flatMap((link) =>
  Object.keys(TOXICS).map((toxic) => [link, toxic] as const),
);

it.each(cases)(
  'the link of %s is %s: no 500, nothing lost, nothing twice',
  async (name, toxic) => {
    const api = deployment.api();
    const link = links.get(name)!;
    const statuses = new Map<number, number>();
    const talks = await Promise.all(Array.from({ length: CLIENTS }, () => talk(api, statuses)));
    await allGoOn(talks);
    await link.poison(TOXICS[toxic]!);
    await new Promise((resolve) => setTimeout(resolve, BAD_MS));
    await link.heal();
    const healedAt = Date.now();
    await allGoOn(talks);
    const backMs = Date.now() - healedAt;
    await Promise.all(talks.map((each) => each.end()));
    const counts = [...statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
    process.stdout.write(`${name} ${toxic}: ${counts.join(', ')}; all went on ${backMs} ms after it\n`);
    for (const status of statuses.keys()) expect([200, 202, 503]).toContain(status);
    // Without Redis no call is refused at all.
    if (name === 'api to Redis') expect([...statuses.keys()]).toEqual([200]);
    const truth = createApiClient(witness.url, ADMIN_KEY);
    for (const each of talks) await expectWhole(truth, each);
  },
  TEST_MS_MAX,
);
