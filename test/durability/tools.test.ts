// A turn that waits for its client's tools, while everything is killed: the result continues it, once, and no result is lost.
import { type ApiClient, eventually } from '../support/api-client.ts';
import { isLong } from '../support/long.ts';
import { cleanUp } from '../support/process.ts';
import { RECOVERY_MS_MAX } from './support/dev-installation.ts';
import { type Place, places } from './support/places.ts';
import { createRandom, SEED } from './support/random.ts';

const CALLS = 10;
const TEST_MS_MAX = 3 * RECOVERY_MS_MAX;

const TOOL = {
  name: 'look_up',
  description: 'Looks something up',
  parameters: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
};

interface Waiting {
  sessionId: string;
  reply: any;
  /** Ids of the calls, in the order of the model. */
  calls: string[];
}

async function startWaiting(api: ApiClient, count: number): Promise<Waiting> {
  const session = await api.session({ tools: [TOOL] });
  const asked = Array.from({ length: count }, (_, n) => `use tool look_up {"key":"k${n}"}`);
  const reply = await api.send(session.id, asked.join(' '));
  expect(reply).toMatchObject({ status: 'requires_action' });
  return { sessionId: session.id, reply, calls: reply.tool_calls.map(({ id }: { id: string }) => id) };
}

function shuffled(calls: string[]): string[] {
  const random = createRandom(SEED);
  const keyed = calls.map((call) => ({ call, key: random.next() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ call }) => call);
}

const resultOf = (call: string) => ({ tool_call_id: call, result: `found by ${call}` });

const submit = (api: ApiClient, { sessionId }: Waiting, body: unknown) =>
  api.post(`/v1/sessions/${sessionId}/tool-results`, body);

/** The end of the turn and what the log says of it: each call once, one continuation, no gap. */
async function expectOneContinuation(api: ApiClient, { sessionId, reply, calls }: Waiting): Promise<void> {
  const path = `/v1/sessions/${sessionId}/messages/${reply.id}`;
  const isOver = ({ body }: any) => ['completed', 'failed', 'interrupted'].includes(body?.status);
  const { body: message } = await eventually(() => api.get(path), isOver, RECOVERY_MS_MAX);
  expect(message).toMatchObject({ status: 'completed', waiting_for: [] });
  expect(message.tool_calls).toMatchObject(
    calls.map((id) => ({ id, status: 'completed', is_error: false, result: resultOf(id).result })),
  );
  for (const call of calls) expect(message.content).toContain(resultOf(call).result);

  const events = await api.events(sessionId);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  const completed = events.filter(({ type }) => type === 'tool.completed');
  expect(completed.map(({ tool_call }) => tool_call.id).sort()).toEqual([...calls].sort());
  const ended = events.filter(({ type }) => type === 'message.content_ended');
  expect(ended.map(({ step }) => step)).toEqual([1, 2]);
  expect(events.filter(({ type }) => type === 'message.completed')).toHaveLength(1);
  const seqOf = (found: any[], type: string) => found.find((event) => event.type === type)?.seq;
  const last = completed.at(-1).seq;
  expect(seqOf(events, 'tool.called')).toBeLessThan(completed[0].seq);
  expect(ended[1].seq).toBeGreaterThan(last);
  expect(seqOf(events, 'message.completed')).toBeGreaterThan(last);
  expectMissingWasSaid(events, calls);
}

/** Each result says anew what is still missing, until nothing is. */
function expectMissingWasSaid(events: any[], calls: string[]): void {
  const open = new Set(calls);
  expect(events.filter(({ type }) => type === 'message.requires_action')).toHaveLength(calls.length);
  for (const { type, tool_call, message } of events) {
    if (type === 'tool.completed') open.delete(tool_call.id);
    if (type === 'message.requires_action') expect(message.waiting_for).toEqual([...open]);
  }
  expect(open.size).toBe(0);
}

afterAll(cleanUp);

/** The short run has the one in which two processes take the results. */
const chosen = Object.entries(places).slice(isLong ? 0 : -1);
for (const [name, { start, obstacle }] of chosen)
  (obstacle ? describe.skip : describe)(obstacle ? `${name}: skipped, for ${obstacle}` : name, () => {
    let place: Place;
    beforeAll(async () => {
      process.stdout.write(`DURABILITY_SEED=${SEED}\n`);
      place = await start();
    }, RECOVERY_MS_MAX * 2);
    afterAll(() => place?.stop(), RECOVERY_MS_MAX);

    it(
      'a result that comes after kill -9 of everything continues the turn',
      async () => {
        const waiting = await startWaiting(place.api(), 2);
        const [first, second] = waiting.calls as [string, string];
        await submit(place.api(), waiting, resultOf(second));
        await place.killAll();
        const { body } = await place.api().get(`/v1/sessions/${waiting.sessionId}/state`);
        expect(body).toMatchObject({ phase: 'waiting_tool', waiting_for: [{ id: first }] });
        expect(await submit(place.api(), waiting, resultOf(second))).toMatchObject({
          status: 200,
          body: { pending: [first] },
        });
        expect((await submit(place.api(), waiting, resultOf(first))).status).toBe(200);
        await expectOneContinuation(place.api(), waiting);
      },
      TEST_MS_MAX,
    );

    it(
      'a result that was taken is not lost by kill -9 of everything right after the answer',
      async () => {
        const waiting = await startWaiting(place.api(), 1);
        expect((await submit(place.api(), waiting, resultOf(waiting.calls[0]!))).status).toBe(200);
        await place.killAll();
        await expectOneContinuation(place.api(), waiting);
      },
      TEST_MS_MAX,
    );

    it(
      `${CALLS} parallel calls answered twice in random order by whoever is asked give one continuation`,
      async () => {
        const waiting = await startWaiting(place.api(), CALLS);
        const order = shuffled([...waiting.calls, ...waiting.calls]);
        const answers = await Promise.all(
          order.map((call: string) => submit(place.api(), waiting, resultOf(call))),
        );
        expect(answers.map(({ status }) => status)).toEqual(order.map(() => 200));
        await expectOneContinuation(place.api(), waiting);
      },
      TEST_MS_MAX,
    );
  });
