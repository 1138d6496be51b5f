// A model step that is answered while the store is away for a moment.
import { CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createModelStep } from '../../activities/model.ts';
import type { Model } from '../../src/models/port.ts';
import { storeAway } from '../../src/stores/store.ts';
import type { Turns } from '../../src/turns/index.ts';
import { eventually } from '../support/api-client.ts';
import { failureOf, openTestStore, replyOf, type TestStore } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const away = () => storeAway(new Error('Connection terminated unexpectedly'));

async function stepOf(changes: Partial<Turns>, stream: Model['stream']) {
  const { turns, rows: messages, catalogue, checker, registry } = store;
  const sessionId = await store.createSession();
  const message = await store.send(sessionId, 'Hello');
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  let calls = 0;
  const model: Model = {
    stream(...args) {
      calls += 1;
      return stream(...args);
    },
  };
  const modelStep = createModelStep({
    ...{ model, turns: { ...turns, ...changes }, messages, catalogue, checker, registry },
    ...{ showPreviews: true, worker: 'test', isUnderWay: async () => true },
  });
  const input = { sessionId, messageId: message.userMessageId, head: null, step: 1 };
  return {
    ...{ environment, message },
    run: () => environment.run(modelStep, input),
    calls: () => calls,
    reply: () => store.messageRow(message.replyId),
    /** What the log has of the reply's text, by event. */
    texts: async () =>
      (await store.events(sessionId)).flatMap(({ type, data }) =>
        type === 'message.delta' ? data.text : [],
      ),
    lines: () => store.db.selectFrom('model_calls').selectAll().where('session_id', '=', sessionId).execute(),
  };
}

const speaks: Model['stream'] = async (_, { onText }) => {
  onText('Once');
  return replyOf('Once');
};

/** The first write meets a store that is away: before it is kept, or with the word of the commit lost. */
const MOMENTS: [string, (...args: Parameters<Turns['complete']>) => Promise<unknown>][] = [
  ['before it is kept', async () => undefined],
  ['after it was kept', (...args) => store.turns.complete(...args)],
];

test.each(MOMENTS)('an answer waits for a store that is away %s: no second call', async (_, first) => {
  let tries = 0;
  const complete: Turns['complete'] = async (...args) => {
    tries += 1;
    if (tries > 1) return store.turns.complete(...args);
    await first(...args);
    throw away();
  };
  const step = await stepOf({ complete }, speaks);
  expect(await step.run()).toMatchObject({ kind: 'settled', status: 'completed' });
  expect({ tries, calls: step.calls() }).toEqual({ tries: 2, calls: 1 });
  expect(await step.reply()).toMatchObject({ status: 'completed', text: 'Once' });
  expect(await step.lines()).toMatchObject([{ outcome: 'completed' }]);
});

/** Says a word, and the next one when the store has been asked a second time to keep the first. */
const speaksOn =
  (tries: () => number): Model['stream'] =>
  async (_, { onText }) => {
    onText('On');
    await eventually(
      async () => tries(),
      (count) => count >= 2,
    );
    onText('ce');
    return replyOf('Once');
  };

/** The first group of text meets a store that is away; `first` is what happens before the writer hears of it. */
async function awayWhileSpeaking(first: (...args: Parameters<Turns['appendText']>) => Promise<unknown>) {
  let tries = 0;
  const appendText: Turns['appendText'] = async (...args) => {
    tries += 1;
    if (tries > 1) return store.turns.appendText(...args);
    await first(...args);
    throw away();
  };
  return stepOf(
    { appendText },
    speaksOn(() => tries),
  );
}

const WORDS: [string, Parameters<typeof awayWhileSpeaking>[0]][] = [
  ['before they are kept', async () => undefined],
  ['after they were kept', (...args) => store.turns.appendText(...args)],
];

test.each(WORDS)('words wait for a store that is away %s: no second call, none twice', async (_, first) => {
  const step = await awayWhileSpeaking(first);
  expect(await step.run()).toMatchObject({ kind: 'settled', status: 'completed' });
  expect(step.calls()).toBe(1);
  expect(await step.texts()).toEqual(['On', 'ce']);
  expect(await step.reply()).toMatchObject({ status: 'completed', text: 'Once' });
});

test('words that have waited are refused when another writer has taken over meanwhile', async () => {
  const step = await awayWhileSpeaking(async () => {
    await store.open(step.message, null);
  });
  await expect(step.run()).rejects.toMatchObject({ type: 'superseded' });
  expect(await step.texts()).toEqual([]);
});

test('the failure of a call waits as well, and is counted once', async () => {
  let tries = 0;
  const failStep: Turns['failStep'] = async (...args) => {
    tries += 1;
    if (tries === 1) throw away();
    return store.turns.failStep(...args);
  };
  const step = await stepOf({ failStep }, async () => {
    throw failureOf({ retryAfterMs: 7_000 });
  });
  await expect(step.run()).rejects.toMatchObject({ type: 'model_overloaded' });
  expect(await step.lines()).toMatchObject([{ outcome: 'failed' }]);
});

test('it waits no longer when it is cancelled', async () => {
  const complete: Turns['complete'] = async () => {
    step.environment.cancel();
    throw away();
  };
  const step = await stepOf({ complete }, speaks);
  await expect(step.run()).rejects.toBeInstanceOf(CancelledFailure);
});
