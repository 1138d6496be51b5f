// Turns that wait for tools, on a real Temporal server: results that overtake the workflow's looks at the store, and tools
// that can't be run.
import type { AcceptedMessage } from '../../src/services/ports.ts';
import type { BuiltInTool } from '../../src/tools/built-in.ts';
import { createToolRegistry } from '../../src/tools/registry.ts';
import { RUN_BOUNDS } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { isGapFree } from '../support/store.ts';

let engine: TestEngine;
afterEach(() => engine.stop());

const toolOf = (name: string, fields: object = {}) => ({
  ...{ name, description: `Does ${name}`, parameters: { type: 'object' } },
  ...fields,
});

const openCalls = (message: AcceptedMessage) => engine.rows.openToolCalls(message.replyId);
const waitingFor = async (session: string) =>
  (await engine.state(session))?.running?.calls?.map(({ name }) => name);

/** The calls of a turn, when it waits for so many. */
async function called(message: AcceptedMessage, count: number) {
  const calls = await eventually(
    () => openCalls(message),
    (found) => found.length === count,
  );
  await eventually(
    () => waitingFor(message.sessionId),
    (names) => names?.length === count,
  );
  return Object.fromEntries(calls.map(({ name, id }) => [name, id]));
}

const submit = (session: string, id: string | undefined, result: unknown) => {
  const body = { tool_call_id: id ?? '', result: result as string };
  return engine.services.toolCalls.submit(engine.caller, session, body, null);
};

test('a result whose signal comes while calls are timed out is not waited for again', async () => {
  let meanwhile = async () => {};
  engine = await startTestEngine({
    around: ({ expireCalls }) => ({
      async expireCalls(input) {
        const look = await expireCalls(input);
        // The workflow hears of the result before it hears what the look has seen, which is older.
        await meanwhile();
        return look;
      },
    }),
  });
  const tools = [toolOf('quick', { timeout_seconds: 1 }), toolOf('slow')];
  const session = await engine.createSession({ tools });
  const message = await engine.send(session, 'use tool quick {} and use tool slow {}');
  const { slow } = await called(message, 2);
  meanwhile = async () => {
    await submit(session, slow, 'found');
    await eventually(
      () => waitingFor(session),
      (names) => names?.join() === 'quick',
    );
  };
  expect(await engine.settled(message, 15_000)).toMatchObject({ status: 'completed' });
  expect(await engine.rows.toolCalls([message.replyId])).toMatchObject([
    { name: 'quick', status: 'timed_out' },
    { name: 'slow', status: 'completed', result: '"found"' },
  ]);
  expect(isGapFree(await engine.events(session))).toBe(true);
}, 60_000);

test('a tool that fails at every try is told to the model as one that could not be run, and the session goes on', async () => {
  let tries = 0;
  const broken: BuiltInTool = {
    ...{ name: 'calculator', description: 'Is out of order', inputSchema: { type: 'object' } },
    async run() {
      tries += 1;
      throw new Error('no process can be started');
    },
    close: async () => undefined,
  };
  engine = await startTestEngine({ registry: createToolRegistry([broken]) });
  const session = await engine.createSession({ tools: ['calculator', toolOf('slow')] });
  const message = await engine.send(session, 'use tool calculator {} and use tool slow {}');
  const { slow } = await called(message, 2);
  await submit(session, slow, 'found');
  expect(await engine.settled(message, 40_000)).toMatchObject({ status: 'completed' });
  expect(tries).toBe(5);
  const [call] = await engine.rows.toolCalls([message.replyId]);
  expect(call).toMatchObject({ name: 'calculator', status: 'failed', is_error: 1 });
  expect(JSON.parse(call?.result ?? '')).toBe('The tool could not be run: no process can be started');
  expect(await engine.settled(await engine.send(session, 'Go on'))).toMatchObject({ status: 'completed' });
  expect(isGapFree(await engine.events(session))).toBe(true);
}, 60_000);

test('a run that grows too long while its turn waits for a result gives the wait to the next run', async () => {
  engine = await startTestEngine();
  const session = await engine.createSession({ tools: [toolOf('slow')] });
  const message = await engine.send(session, 'use tool slow {}');
  const { slow } = await called(message, 1);
  const run = async () => (await engine.handle(session).describe()).runId;
  const first = await run();
  for (let n = 0; n < RUN_BOUNDS.eventsPerRunMax && (await run()) === first; n += 1)
    await engine.sessions.update(engine.caller, session, { metadata: { n: `${n}` } });
  await eventually(run, (id) => id !== first);
  const ended = await engine.client.workflow.getHandle(session, first).describe();
  expect(ended.status.name).toBe('CONTINUED_AS_NEW');
  expect(await waitingFor(session)).toEqual(['slow']);
  await submit(session, slow, 'found');
  expect(await engine.settled(message)).toMatchObject({ status: 'completed' });
  expect(isGapFree(await engine.events(session))).toBe(true);
}, 60_000);
