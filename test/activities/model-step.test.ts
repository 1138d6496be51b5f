// One attempt of a model step, with a model whose every word is the test's.
import { setImmediate } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createModelStep } from '../../activities/model.ts';
import type { Model, ModelReply, ModelRequest } from '../../src/models/port.ts';
import { streamedText } from '../../src/stores/log.ts';
import type { Turns } from '../../src/turns/index.ts';
import { failureOf, openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

type Speech = (
  say: (text: string) => void,
  signal: AbortSignal,
  request: ModelRequest,
) => Promise<ModelReply>;

const modelOf = (speech: Speech): Model => ({
  stream: (request, { onText, signal }) => speech(onText, signal, request),
});

/** Never says anything more; ends as every model does when it is told to. */
const silence = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
  });

/** Whether Temporal still waits for the attempts. */
let isUnderWay = true;
afterEach(() => {
  isUnderWay = true;
});

function stepOf(speech: Speech, changes: Partial<Turns> = {}) {
  const { turns, rows: messages, catalogue } = store;
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const modelStep = createModelStep({
    ...{ model: modelOf(speech), turns: { ...turns, ...changes }, messages, catalogue },
    ...{ showPreviews: true, worker: 'test', isUnderWay: async () => isUnderWay },
  });
  const run = (sessionId: string, messageId: string, head: string | null = null) =>
    environment.run(modelStep, { sessionId, messageId, head, step: 1 });
  return { run, environment };
}

async function newMessage(content = 'Hello') {
  const session = await store.createSession();
  const message = await store.send(session, content);
  return { session, message, id: message.userMessageId };
}

const speaks =
  (...words: string[]): Speech =>
  async (say) => {
    for (const word of words) say(word);
    return replyOf(words.join(''));
  };

test('what was streamed is what is stored, and the workflow is told ids and a preview', async () => {
  const { session, message, id } = await newMessage();
  const { run } = stepOf(speaks('Good ', 'morning', '.'));
  expect(await run(session, id)).toEqual({
    ...{ kind: 'settled', replyId: message.replyId, status: 'completed', head: message.replyId },
    ...{ preview: 'Good morning.', expiresAtMs: null },
  });
  expect(await streamedText(store.db, message.replyId)).toBe('Good morning.');
});

/** Its words come in packets of their own, so that each is written before the next. */
const speaksSlowly =
  (...words: string[]): Speech =>
  async (say) => {
    for (const word of words) {
      say(word);
      await setImmediate();
      await setImmediate();
    }
    return replyOf(words.join(''));
  };

test('a write that fails while the model ends leaves nothing half: the step fails and is tried again', async () => {
  const { session, message, id } = await newMessage();
  let fails = true;
  const appendText: Turns['appendText'] = async (writer, text) => {
    if (!fails) return store.turns.appendText(writer, text);
    fails = false;
    throw new Error('disk full');
  };
  await expect(stepOf(speaksSlowly('Good ', 'morning'), { appendText }).run(session, id)).rejects.toThrow(
    'disk full',
  );
  expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'in_progress' });
  await stepOf(speaks('Good ', 'day'), { appendText }).run(session, id);
  expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'completed', text: 'Good day' });
  expect(await streamedText(store.db, message.replyId)).toBe('Good day');
});

test('an attempt whose place was taken hangs up on its model and leaves the reply to the other', async () => {
  const { session, message, id } = await newMessage();
  const heard: AbortSignal[] = [];
  const { run } = stepOf(async (say, signal) => {
    heard.push(signal);
    say('Mine');
    const other = await store.open(message, null);
    await store.turns.appendText(writerOf(other), 'Theirs');
    say(' too late');
    return silence(signal);
  });
  const failure = await run(session, id).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ApplicationFailure);
  expect(failure).toMatchObject({ type: 'superseded', nonRetryable: false });
  expect(heard[0]?.aborted).toBe(true);
  expect(await streamedText(store.db, message.replyId)).toBe('Theirs');
});

test('an attempt whose reply was closed meanwhile says what became of it', async () => {
  const { session, message, id } = await newMessage();
  const { run } = stepOf(async (say, signal) => {
    say('Half');
    await store.turns.interrupt({ sessionId: session, head: null, replyId: message.replyId });
    say(' a word');
    return silence(signal);
  });
  expect(await run(session, id)).toMatchObject({ kind: 'settled', status: 'interrupted' });
});

test('an attempt whose model is silent hears with its next renewal that its reply was closed', async () => {
  const { session, id } = await newMessage();
  const { run } = stepOf(async (_, signal) => {
    await store.sessions.interrupt(store.caller, session);
    return silence(signal);
  });
  expect(await run(session, id)).toMatchObject({ kind: 'settled', status: 'interrupted', preview: '' });
});

test('a cancelled attempt hangs up and writes no end', async () => {
  const { session, message, id } = await newMessage();
  const { run, environment } = stepOf(async (say, signal) => {
    say('Half');
    environment.cancel();
    return silence(signal);
  });
  await expect(run(session, id)).rejects.toBeInstanceOf(CancelledFailure);
  expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'in_progress' });
});

test('a failed call is counted, shown and tried again when the provider says', async () => {
  const { session, id } = await newMessage();
  const { run } = stepOf(async () => {
    throw failureOf({ retryAfterMs: 7_000 });
  });
  const failure = await run(session, id).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ApplicationFailure);
  expect(failure).toMatchObject({ type: 'model_overloaded', nonRetryable: false, nextRetryDelay: 7_000 });
  const calls = store.db.selectFrom('model_calls').selectAll().where('session_id', '=', session);
  expect(await calls.execute()).toMatchObject([{ outcome: 'failed', error_code: 'model_overloaded' }]);
});

test('a step of a recorded reply calls no model', async () => {
  const { session, message, id } = await newMessage();
  await stepOf(speaks('Once')).run(session, id);
  const never: Speech = async () => {
    throw new Error('called twice');
  };
  expect(await stepOf(never).run(session, id)).toMatchObject({ kind: 'settled', replyId: message.replyId });
});

test('a step of a run that is over does not take the session back to where that run was', async () => {
  const { session, message, id } = await newMessage();
  await stepOf(speaks('One')).run(session, id);
  const next = await store.send(session, 'Two');
  isUnderWay = false;
  const never: Speech = async () => {
    throw new Error('called for a dead run');
  };
  expect(await stepOf(never).run(session, next.userMessageId, null)).toEqual({ kind: 'gone' });
  expect(await store.sessionRow(session)).toMatchObject({ head: message.replyId, open_reply_id: null });
  await stepOf(speaks('Two')).run(session, next.userMessageId, message.replyId);
  expect(await store.messageRow(next.replyId)).toMatchObject({ status: 'completed', depth: 4 });
});

test('a step whose session has ended calls no model', async () => {
  const { session, id } = await newMessage();
  await store.sessions.complete(store.caller, session);
  const never: Speech = async () => {
    throw new Error('called after the end');
  };
  expect(await stepOf(never).run(session, id)).toEqual({ kind: 'gone' });
});

describe('the model is shown', () => {
  const shownFor = async (session: string, head: string | null, text: string, fields = {}) => {
    const message = await store.send(session, text, fields);
    let shown: ModelRequest | undefined;
    const { run } = stepOf(async (_say, _signal, request) => {
      shown = request;
      return replyOf('Yes');
    });
    await run(session, message.userMessageId, head);
    if (!shown) throw new Error('No call');
    const lines = shown.messages.map(
      ({ role, content }) => `${role}: ${content.map((block) => block.text).join('|')}`,
    );
    return { request: shown, lines, head: message.replyId };
  };

  test('the branch up to the question, and nothing of other branches or of the queue', async () => {
    const session = await store.createSession();
    const first = await shownFor(session, null, 'One');
    await shownFor(session, first.head, 'Two, on another branch');
    await store.send(session, 'Queued');
    await store.send(session, 'Queued as well');
    const queued = await store.rows.queued(session);
    for (const { id } of queued) await store.rows.update(id, { status: 'failed' });
    const { lines } = await shownFor(session, first.head, 'Three');
    expect(lines).toEqual(['user: One', 'assistant: Yes', 'user: Three']);
  });

  test('what was said before an interrupt, and no empty answer, which the API refuses', async () => {
    const session = await store.createSession();
    const half = await store.send(session, 'One');
    await store.turns.appendText(writerOf(await store.open(half, null)), 'Half an');
    await store.turns.interrupt({ sessionId: session, head: null, replyId: half.replyId });
    const empty = await store.send(session, 'Two');
    await store.open(empty, half.replyId);
    await store.turns.interrupt({ sessionId: session, head: half.replyId, replyId: empty.replyId });
    const { lines } = await shownFor(session, empty.replyId, 'Three');
    expect(lines).toEqual(['user: One', 'assistant: Half an', 'user: Two', 'user: Three']);
  });

  test('the settings of the session, and of the message before them', async () => {
    const defaults = { system_prompt: 'Be brief', max_tokens: 500, temperature: 0.5 };
    const session = await store.createSession({ model: 'claude-opus-4-6', ...defaults });
    const first = await shownFor(session, null, 'One');
    expect(first.request).toMatchObject({ system: 'Be brief', maxTokens: 500, temperature: 0.5 });
    const second = await shownFor(session, first.head, 'Two', { max_tokens: 50 });
    expect(second.request).toMatchObject({ maxTokens: 50, temperature: 0.5 });
  });
});
