// Whoever reads a session reads the same: two tabs, a stream, pages and a webhook's receiver, each going on where it was cut off, while
// other sessions talk and the server and its Temporal are killed.
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionEvent } from '../../src/contracts/events.ts';
import { WEBHOOK_EVENTS } from '../../src/contracts/events.ts';
import { eventually } from '../support/api-client.ts';
import { cleanUp } from '../support/process.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { openSocket } from '../support/socket-client.ts';
import { createClient } from './support/client.ts';
import { type DevInstallation, RECOVERY_MS_MAX, startDev } from './support/dev-installation.ts';
import { createLedger } from './support/ledger.ts';
import { type ModelDouble, startModel } from './support/model.ts';
import { createRandom, SEED } from './support/random.ts';

const NEIGHBOURS = 6;
const KILLS = 12;
const MESSAGES_MIN = 20;
/** As the SDKs do when nobody answers. */
const RETRY_MS = 100;
const TEST_MS_MAX = 6 * RECOVERY_MS_MAX;

type Seen = Pick<SessionEvent, 'seq' | 'id' | 'type'>;
const briefly = ({ seq, id, type }: Seen): Seen => ({ seq, id, type });

let dev: DevInstallation;
let model: ModelDouble;
let receiver: Receiver;

beforeAll(async () => {
  process.stdout.write(`DURABILITY_SEED=${SEED}\n`);
  model = await startModel();
  receiver = await startReceiver();
  dev = await startDev({ modelUrl: model.url });
}, RECOVERY_MS_MAX);
afterAll(async () => {
  await dev?.stop();
  await model?.close();
  await receiver?.stop();
  await cleanUp();
});

/** A reader that comes back with its cursor whenever it is cut off. */
function createReader(connect: (after: number, see: (event: Seen) => void) => Promise<void>) {
  const seen: Seen[] = [];
  let isOver = false;
  let cuts = 0;
  const after = () => seen.at(-1)?.seq ?? 0;
  const reading = (async () => {
    while (!isOver) {
      await connect(after(), (event) => seen.push(briefly(event))).catch(() => undefined);
      cuts += 1;
      await sleep(RETRY_MS);
    }
  })();
  return {
    seen,
    /** Connections that have ended. */
    cuts: () => cuts,
    async until(seq: number): Promise<void> {
      await eventually(
        async () => after(),
        (last) => last >= seq,
        RECOVERY_MS_MAX,
      );
      isOver = true;
    },
    reading,
  };
}

const tab = (id: string) =>
  createReader(async (after, see) => {
    const url = `${dev.server().url}/v1/sessions/${id}/ws?names=log&after=${after}`;
    const socket = await openSocket(url, { key: dev.api().key });
    let read = 0;
    const take = () => {
      for (const event of socket.events().slice(read)) see(event);
      read = socket.events().length;
    };
    socket.socket.on('message', take);
    // What came in the same packet as the answer to the upgrade.
    take();
    await socket.closed;
  });

const stream = (id: string) =>
  createReader(async (after, see) => {
    for await (const { id: seq, data } of dev.api().follow(id, `?after=${after}`))
      if (seq !== null) see(data);
  });

it(
  'two tabs, a stream, pages and a webhook tell the same of a session, in the same order, under load and kills',
  async () => {
    const ledger = createLedger();
    const random = createRandom(SEED);
    let isOver = false;
    const client = (index: number) =>
      createClient({
        index,
        api: dev.api,
        ledger,
        random: random.fork(`client ${index}`),
        isOver: () => isOver,
      });
    const hook = await dev.api().post('/v1/webhooks', { url: receiver.url, events: ['*'] });
    expect(hook.status).toBe(201);
    const speaker = client(0);
    const id = await speaker.newSession(1);
    const neighbours = Array.from({ length: NEIGHBOURS }, (_, index) => client(index + 1).run());
    const readers = [tab(id), tab(id), stream(id)];

    let said = 0;
    const speaking = (async () => {
      for (; !isOver || said < MESSAGES_MIN; said += 1)
        await speaker.send(id, random.pick(['sync', 'stream', 'background']), '[[tokens=20 token_ms=5]]');
    })();
    for (let kills = 0; kills < KILLS; kills += 1) {
      await sleep(random.between(500, 3_000));
      const parts = random.pick([['openclaw'], ['openclaw'], ['temporal'], ['openclaw', 'temporal']]);
      const victims = dev.partsNamed(parts);
      await Promise.all(victims.map((part) => part.kill()));
      await Promise.all(victims.map((part) => part.revive()));
      await dev.untilReady();
    }
    isOver = true;
    await Promise.all([speaking, ...neighbours]);
    await eventually(
      async () => (await dev.api().get(`/v1/sessions/${id}/state`)).body.phase,
      (phase) => phase === 'idle',
      RECOVERY_MS_MAX,
    );
    expect((await dev.api().post(`/v1/sessions/${id}/complete`)).status).toBe(200);

    const events = await dev.api().events(id);
    const pages = events.map(briefly);
    const last = pages.at(-1)!.seq;
    expect(pages.map(({ seq }) => seq)).toEqual(Array.from({ length: last }, (_, index) => index + 1));
    expect(pages.filter(({ type }) => type === 'message.completed').length).toBeGreaterThanOrEqual(
      MESSAGES_MIN,
    );
    for (const reader of readers) {
      await reader.until(last);
      // Without a cut there was nothing to go on from.
      expect(reader.cuts()).toBeGreaterThan(1);
      expect(reader.seen).toEqual(pages);
    }

    const wanted = events.filter(({ type }) => WEBHOOK_EVENTS.includes(type));
    const own = () => receiver.received.filter(({ event }) => event.session_id === id);
    await eventually(
      async () => new Set(own().map(({ event }) => event.id)).size,
      (count) => count >= wanted.length,
      RECOVERY_MS_MAX,
    );
    const bodies = new Map(own().map(({ body, event }) => [event.id, body]));
    for (const { body, event } of own()) expect(bodies.get(event.id)).toBe(body);
    const told = [...bodies.values()].map((body) => JSON.parse(body)).sort((a, b) => a.seq - b.seq);
    expect(told.map(briefly)).toEqual(wanted.map(briefly));
    expect(ledger.faults).toEqual([]);
    await dev.stop();
    await Promise.all(readers.map(({ reading }) => reading));
  },
  TEST_MS_MAX,
);
