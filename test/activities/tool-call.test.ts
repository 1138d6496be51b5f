// Tries of a built-in tool's call, with a tool whose every answer is the test's.
import { setImmediate } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createToolCall } from '../../activities/tool-call.ts';
import type { BuiltInTool } from '../../src/tools/built-in.ts';
import { createToolRegistry } from '../../src/tools/registry.ts';
import type { PreparedCall } from '../../src/turns/tool-calls.ts';
import { openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const toolOf = (run: BuiltInTool['run']): BuiltInTool => ({
  ...{ name: 'calculator', description: 'Counts', inputSchema: { type: 'object' } },
  ...{ run, close: async () => undefined },
});

/** A reply whose model has called the calculator. */
async function called() {
  const sessionId = await store.createSession({ tools: ['calculator'] });
  const message = await store.send(sessionId);
  const writer = writerOf(await store.open(message, null));
  const call: PreparedCall = {
    providerId: 'toolu_1',
    name: 'calculator',
    type: 'builtin',
    parameters: { expression: '1+1' },
    refusal: null,
    timeoutSeconds: null,
    onTimeout: 'error',
  };
  const completed = await store.turns.complete(writer, '', replyOf(''), [call]);
  const callId = completed?.open[0]?.id ?? '';
  return { sessionId, replyId: message.replyId, callId };
}

function tryOf(run: BuiltInTool['run']) {
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const toolCall = createToolCall({ turns: store.turns, registry: createToolRegistry([toolOf(run)]) });
  const start = (input: Awaited<ReturnType<typeof called>>) => environment.run(toolCall, input);
  return { environment, start };
}

const rowOf = async ({ replyId }: { replyId: string }) => (await store.rows.toolCalls([replyId]))[0];

const answers =
  (result: unknown, isError = false) =>
  async () => ({ result, isError });

test('the first result is kept, and a later try does not even run', async () => {
  const input = await called();
  await tryOf(answers('2')).start(input);
  let hasRun = false;
  await tryOf(async () => {
    hasRun = true;
    return { result: '3', isError: false };
  }).start(input);
  expect(hasRun).toBe(false);
  expect(await rowOf(input)).toMatchObject({ status: 'completed', result: '"2"', is_error: 0 });
  expect(await store.story(input.sessionId, input.replyId)).toContain('tool.completed');
});

test('of two tries that run at once one gives the result', async () => {
  const input = await called();
  await Promise.all([tryOf(answers('2')).start(input), tryOf(answers('2')).start(input)]);
  const story = await store.story(input.sessionId, input.replyId);
  expect(story.filter((type) => type === 'tool.completed')).toHaveLength(1);
});

test('a tool that is out of order is not told to the model as a result: the try fails', async () => {
  const input = await called();
  const broken = tryOf(async () => {
    throw new Error('no process can be started');
  });
  await expect(broken.start(input)).rejects.toThrow('no process can be started');
  expect(await rowOf(input)).toMatchObject({ status: 'running', result: null });
});

test('a cancelled try ends its tool, and gives no result', async () => {
  const input = await called();
  let isRunning = false;
  const { environment, start } = tryOf((_input, { signal }) => {
    isRunning = true;
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  const running = start(input);
  while (!isRunning) await setImmediate();
  environment.cancel();
  await expect(running).rejects.toThrow();
  expect(await rowOf(input)).toMatchObject({ status: 'running', result: null });
});

test('a result that comes after the turn was interrupted changes nothing', async () => {
  const input = await called();
  const late = tryOf(async () => {
    await store.turns.interrupt({ ...input, head: null });
    return { result: '2', isError: false };
  });
  await late.start(input);
  expect(await rowOf(input)).toMatchObject({ status: 'cancelled', is_error: 1 });
});
