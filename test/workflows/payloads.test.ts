// Nothing that Temporal is given grows with contents: no text, however long or strange, wedges its session (api.md section 1).
import { ApplicationFailure } from '@temporalio/common';
import { CONTENT_LENGTH_MAX } from '../../src/contracts/messages.ts';
import type { Model } from '../../src/models/port.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { failureOf, replyOf } from '../support/store.ts';

const MB = 1024 * 1024;
/** Far below Temporal's 2 MB for one payload and its 256 KB warning. */
const HISTORY_BYTES_MAX = 256 * 1024;

/** What the model does next; it answers like this when nothing is planned. */
const plans: Model['stream'][] = [];
const answers: Model['stream'] = async (_, { onText }) => {
  onText('Hi');
  return replyOf('Hi');
};
const model: Model = { stream: (...call) => (plans.shift() ?? answers)(...call) };

const fails =
  (error: Error): Model['stream'] =>
  async () => {
    throw error;
  };

let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine({ model });
});
afterAll(() => engine.stop());
beforeEach(() => {
  plans.length = 0;
});

const idle = (session: string) =>
  engine.rebuiltState(session, (state) => state.running === null && state.queue.length === 0);

async function historyBytes(session: string): Promise<number> {
  const { raw } = await engine.handle(session).describe();
  return Number(raw.workflowExecutionInfo?.historySizeBytes);
}

/** The session goes on as if nothing had been, and Temporal holds little of it. */
async function expectUsable(session: string): Promise<void> {
  expect(await engine.settled(await engine.send(session, 'And now?'))).toMatchObject({ status: 'completed' });
  await idle(session);
  expect(await historyBytes(session)).toBeLessThan(HISTORY_BYTES_MAX);
  // What has failed was tried again a handful of times, not for ever.
  expect(plans).toEqual([]);
}

test('an answer of 16 MB', async () => {
  const session = await engine.createSession();
  const word = 'All work and no play. '.repeat(3_000);
  const text = word.repeat(Math.ceil((16 * MB) / word.length));
  plans.push(async (_, { onText }) => {
    for (let from = 0; from < text.length; from += word.length) onText(word);
    return replyOf(text);
  });
  const reply = await engine.settled(await engine.send(session, 'All of it'), 60_000);
  expect(reply).toMatchObject({ status: 'completed' });
  expect(reply.text.length).toBe(text.length);
  await expectUsable(session);
}, 90_000);

test('a message of a million characters', async () => {
  const session = await engine.createSession();
  const message = await engine.send(session, '\u{1F4A5}'.repeat(CONTENT_LENGTH_MAX / 2));
  expect(await engine.settled(message)).toMatchObject({ status: 'completed' });
  await expectUsable(session);
});

/** Previews that take as many bytes as any can: escaped in JSON, or of three bytes each. */
const LONGEST = ['\u0001', '\u001f', '\u20ac', '\\', '"', '\u{1F4A5}'];

test('a hundred queued messages with the longest previews', async () => {
  const session = await engine.createSession();
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  plans.push(async (...call) => {
    await held;
    return answers(...call);
  });
  const sent = [await engine.send(session, 'The first')];
  await eventually(
    () => engine.messageRow(sent[0]?.replyId ?? ''),
    (row) => row.status === 'in_progress',
  );
  for (let n = 0; n < 100; n += 1)
    sent.push(await engine.send(session, LONGEST[n % LONGEST.length]?.repeat(1_000)));
  await engine.rebuiltState(session, (state) => state.queue.length === 100);
  release();
  const replies = await Promise.all(sent.map((message) => engine.settled(message)));
  expect(replies.filter(({ status }) => status !== 'completed')).toEqual([]);
  await expectUsable(session);
}, 60_000);

test.each(LONGEST)('an answer and a failure of nothing but %j', async (character) => {
  const session = await engine.createSession();
  const text = character.repeat(5_000);
  plans.push(async (_, { onText }) => {
    onText(text);
    return replyOf(text);
  });
  await engine.settled(await engine.send(session, text));
  const refusal = failureOf({ retryable: false });
  refusal.message = text;
  plans.push(fails(refusal));
  expect(await engine.settled(await engine.send(session, text))).toMatchObject({ status: 'failed' });
  await expectUsable(session);
});

describe('an error with a message of', () => {
  test.each([
    ['100 KB', 100 * 1024],
    ['5 MB', 5 * MB],
  ])('%s, from the provider', async (_, size) => {
    const session = await engine.createSession();
    const overloaded = failureOf({ retryAfterMs: 1 });
    const refusal = failureOf({ retryable: false, code: 'model_invalid_request' });
    for (const failure of [overloaded, refusal]) failure.message = 'x'.repeat(size);
    plans.push(fails(overloaded), fails(refusal));
    const reply = await engine.settled(await engine.send(session, 'Hello'));
    expect(JSON.parse(reply.error ?? '')).toMatchObject({ code: 'model_invalid_request' });
    await expectUsable(session);
  });

  test.each([
    ['100 KB', 100 * 1024],
    ['5 MB', 5 * MB],
  ])('%s, from a bug that a further try does not meet', async (_, size) => {
    const session = await engine.createSession();
    plans.push(fails(new TypeError('x'.repeat(size))));
    expect(await engine.settled(await engine.send(session, 'Hello'))).toMatchObject({ status: 'completed' });
    await expectUsable(session);
  });

  test.each([
    ['100 KB', 100 * 1024],
    ['5 MB', 5 * MB],
  ])('%s, from a bug for good: its reply has failed', async (_, size) => {
    const session = await engine.createSession();
    plans.push(fails(ApplicationFailure.nonRetryable('x'.repeat(size))));
    const reply = await engine.settled(await engine.send(session, 'Hello'));
    expect(reply).toMatchObject({ status: 'failed' });
    expect(JSON.parse(reply.error ?? '')).toMatchObject({
      ...{ code: 'internal_error', type: 'api_error', message: 'x'.repeat(500) },
    });
    await expectUsable(session);
  });
});
