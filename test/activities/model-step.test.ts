// One attempt of a model step, with a model whose every word is the test's.
import { setImmediate } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { ActivityCancellationDetails } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createModelStep } from '../../activities/model.ts';
import type { Model, ModelErrorCode, ModelReply, ModelRequest, ModelUsage } from '../../src/models/port.ts';
import { streamedText } from '../../src/stores/log.ts';
import type { Turns } from '../../src/turns/index.ts';
import { eventually } from '../support/api-client.ts';
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
  tell: (usage: ModelUsage) => void,
) => Promise<ModelReply>;

const modelOf = (speech: Speech): Model => ({
  stream: (request, { onText, onUsage, signal }) => speech(onText, signal, request, onUsage),
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
  const { turns, rows: messages, catalogue, checker, registry } = store;
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const modelStep = createModelStep({
    ...{ model: modelOf(speech), turns: { ...turns, ...changes }, messages, catalogue, checker, registry },
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
  await expect(
    stepOf(speaksSlowly('Good ', 'morning'), { appendText }).run(session, id),
  ).rejects.toMatchObject({ type: 'internal_error', message: expect.not.stringContaining('disk full') });
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

describe('the ledger has a line', () => {
  const SPENT = { inputTokens: 70, outputTokens: 1, cacheCreationInputTokens: 0, cacheReadInputTokens: 0 };
  const WHOLE = { ...SPENT, outputTokens: 9 };
  const linesOf = (session: string) =>
    store.db
      .selectFrom('model_calls')
      .select(['outcome', 'input_tokens', 'output_tokens'])
      .where('session_id', '=', session)
      .orderBy('ended_at')
      .execute();

  test('for an attempt whose reply was closed meanwhile, with what it learned until it heard of that', async () => {
    const { session, message, id } = await newMessage();
    const { run } = stepOf(async (say, signal, _request, tell) => {
      tell(SPENT);
      say('Half');
      await eventually(() => streamedText(store.db, message.replyId), Boolean);
      await store.turns.interrupt({ sessionId: session, head: null, replyId: message.replyId });
      tell(WHOLE);
      say(' a word');
      return silence(signal);
    });
    await run(session, id);
    const line = { outcome: 'interrupted', input_tokens: 70, output_tokens: 9 };
    expect(await linesOf(session)).toEqual([line]);
    expect(await store.messageRow(message.replyId)).toMatchObject({ input_tokens: 70, output_tokens: 1 });
    expect(await store.sessionRow(session)).toMatchObject({ input_tokens: 70, output_tokens: 9 });
  });

  test('for an attempt that is cancelled before its reply is closed', async () => {
    const { session, message, id } = await newMessage();
    const { run, environment } = stepOf(async (_say, signal, _request, tell) => {
      tell(SPENT);
      environment.cancel('CANCELLED', new ActivityCancellationDetails({ cancelRequested: true }));
      return silence(signal);
    });
    await expect(run(session, id)).rejects.toBeInstanceOf(CancelledFailure);
    await store.turns.interrupt({ sessionId: session, head: null, replyId: message.replyId });
    expect(await linesOf(session)).toMatchObject([{ outcome: 'interrupted', input_tokens: 70 }]);
    expect(await store.messageRow(message.replyId)).toMatchObject({ input_tokens: 70 });
  });

  test('for an attempt that its worker hands over, and one for the attempt that goes on', async () => {
    const { session, message, id } = await newMessage();
    const stopped = stepOf(async (_say, signal, _request, tell) => {
      tell(SPENT);
      stopped.environment.cancel(
        'WORKER_SHUTDOWN',
        new ActivityCancellationDetails({ workerShutdown: true }),
      );
      return silence(signal);
    });
    await expect(stopped.run(session, id)).rejects.toBeInstanceOf(CancelledFailure);
    await stepOf(async () => ({ ...replyOf('Done'), usage: WHOLE })).run(session, id);
    expect(await linesOf(session)).toMatchObject([{ outcome: 'superseded' }, { outcome: 'completed' }]);
    expect(await store.messageRow(message.replyId)).toMatchObject({ input_tokens: 140, output_tokens: 10 });
  });

  test('and no other when the failure of a call is recorded', async () => {
    const { session, id } = await newMessage();
    const { run } = stepOf(async (_say, _signal, _request, tell) => {
      tell(SPENT);
      throw failureOf({ usage: SPENT });
    });
    await expect(run(session, id)).rejects.toBeInstanceOf(ApplicationFailure);
    expect(await linesOf(session)).toMatchObject([{ outcome: 'failed', input_tokens: 70 }]);
  });

  test('for an answer that could not be recorded: the model is asked once more, and one answer is seen', async () => {
    const { session, message, id } = await newMessage();
    let calls = 0;
    const answers: Speech = async (say, _signal, _request, tell) => {
      calls += 1;
      tell(WHOLE);
      say(`Answer ${calls}`);
      return { ...replyOf(`Answer ${calls}`), usage: WHOLE };
    };
    const complete: Turns['complete'] = async () => {
      throw new Error('The store has gone');
    };
    await expect(stepOf(answers, { complete }).run(session, id)).rejects.toMatchObject({
      ...{ type: 'internal_error', message: expect.not.stringContaining('The store has gone') },
    });
    for (const _ of ['again', 'and again']) await stepOf(answers).run(session, id);
    expect(calls).toBe(2);
    expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'completed', text: 'Answer 2' });
    expect(await streamedText(store.db, message.replyId)).toBe('Answer 2');
    expect(await linesOf(session)).toMatchObject([{ outcome: 'failed' }, { outcome: 'completed' }]);
    expect(await store.sessionRow(session)).toMatchObject({ input_tokens: 140, output_tokens: 18 });
  });

  test('that is written once when the store has kept an answer and could not say so', async () => {
    const { session, id } = await newMessage();
    const answers: Speech = async () => ({ ...replyOf('Done'), usage: WHOLE });
    const complete: Turns['complete'] = async (...args) => {
      await store.turns.complete(...args);
      throw new Error('The connection was lost after the commit');
    };
    expect(await stepOf(answers, { complete }).run(session, id)).toMatchObject({ status: 'completed' });
    expect(await stepOf(answers).run(session, id)).toMatchObject({ kind: 'settled', status: 'completed' });
    expect(await linesOf(session)).toMatchObject([{ outcome: 'completed', output_tokens: 9 }]);
    expect(await store.sessionRow(session)).toMatchObject({ output_tokens: 9 });
  });
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

  /** A turn that failed with this code, and the question after it. */
  const afterFailure = async (code: ModelErrorCode) => {
    const session = await store.createSession();
    const first = await shownFor(session, null, 'One');
    const failed = await store.send(session, 'Far too much');
    const writer = writerOf(await store.open(failed, first.head));
    await store.turns.failStep(writer, failureOf({ code, retryable: false }));
    return { session, head: failed.replyId };
  };

  test.each<[string, ModelErrorCode]>([
    ['was refused: a setting may have been at fault', 'model_invalid_request'],
    ['was too long: it may fit another model', 'context_too_long'],
  ])('a turn that %s', async (_name, code) => {
    const { session, head } = await afterFailure(code);
    const { lines } = await shownFor(session, head, 'Two');
    expect(lines).toEqual(['user: One', 'assistant: Yes', 'user: Far too much', 'user: Two']);
  });

  test('no turn that Claude has refused, with the half answer in it', async () => {
    const session = await store.createSession();
    const refused = await store.send(session, 'Something bad');
    const writer = writerOf(await store.open(refused, null));
    await store.turns.complete(writer, 'Well', { ...replyOf('Well'), stopReason: 'refusal' });
    expect((await shownFor(session, refused.replyId, 'Two')).lines).toEqual(['user: Two']);
  });

  test('the question that a provider was too busy for', async () => {
    const session = await store.createSession();
    const failed = await store.send(session, 'One');
    const writer = writerOf(await store.open(failed, null));
    await store.turns.failStep(writer, failureOf({ retryable: false }));
    expect((await shownFor(session, failed.replyId, 'Two')).lines).toEqual(['user: One', 'user: Two']);
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
