// What an open step may write, and what becomes of a writer whose time is over (design 2a.2, 2a.3, 2a.11).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fc from 'fast-check';
import { DELTA_LENGTH_MAX } from '../../src/contracts/events.ts';
import { streamedText } from '../../src/stores/log.ts';
import { pieces } from '../../src/turns/append-text.ts';
import { MODEL_ERRORS_MAX } from '../../src/turns/fail-step.ts';
import { postgresUrl } from '../support/database.ts';
import { failureOf, isGapFree, openTestStore, replyOf, type TestStore, writerOf } from '../support/store.ts';

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const TOKENS = { inputTokens: 10, outputTokens: 5, cacheCreationInputTokens: 3, cacheReadInputTokens: 2 };

describe('pieces', () => {
  const hasLoneSurrogate = (text: string) => !text.isWellFormed();

  test('together are the text, none is empty or too long, and no surrogate pair is cut', () => {
    const text = fc.array(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 50 }),
        fc.constantFrom('a'.repeat(DELTA_LENGTH_MAX - 1), '😀'.repeat(DELTA_LENGTH_MAX), 'x'),
      ),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(
        text.map((parts) => parts.join('')),
        (whole) => {
          const parts = pieces(whole);
          expect(parts.join('')).toBe(whole);
          for (const part of parts) {
            expect(part.length).toBeGreaterThan(0);
            expect(part.length).toBeLessThanOrEqual(DELTA_LENGTH_MAX);
          }
          if (!hasLoneSurrogate(whole)) expect(parts.filter(hasLoneSurrogate)).toEqual([]);
        },
      ),
    );
  });

  test('of nothing are none', () => expect(pieces('')).toEqual([]));
});

describe('two writers race for one session', () => {
  test('and every event has its own number, without a gap, in the order of commits', async () => {
    const session = await store.createSession();
    const committed: number[] = [];
    const unsubscribe = store.channel.subscribe(session, ({ seq }) => committed.push(seq));
    const step = await store.open(await store.send(session), null);
    const writer = writerOf(step);
    await Promise.all([
      ...Array.from({ length: 30 }, (_, n) => store.turns.appendText(writer, `${n} `.repeat(3_000))),
      ...Array.from({ length: 30 }, (_, n) => store.send(session, `Message ${n}`)),
      ...Array.from({ length: 10 }, (_, n) =>
        store.sessions.update(store.caller, session, { metadata: { n: String(n) } }),
      ),
    ]);
    const events = await store.events(session);
    expect(isGapFree(events)).toBe(true);
    // On many connections two commits may be heard of in another order than they were made: a word is only a hint.
    if (postgresUrl === null) expect(committed).toEqual([...committed].sort((a, b) => a - b));
    expect(Math.max(...committed)).toBe(events.length);
    expect((await store.sessionRow(session)).seq).toBe(events.length);
    const positions = (await store.rows.queued(session)).map((row) => row.position);
    expect(positions).toEqual(Array.from({ length: 30 }, (_, n) => n + 2));
    unsubscribe();
  });

  // PostgreSQL has no file that a process could hold: rows are locked, and its own suites test that.
  const onSqlite = postgresUrl === null ? test : test.skip;
  const held = 'beside another process that holds the file for a moment, and none is refused';
  onSqlite(postgresUrl === null ? held : `skipped, for PostgreSQL has no such file: ${held}`, async () => {
    const session = await store.createSession();
    const script = `
      const database = require('better-sqlite3')(process.argv[1]);
      database.exec('begin immediate');
      console.log('locked');
      setTimeout(() => database.exec('commit'), 200);`;
    const other = spawn(process.execPath, ['-e', script, store.file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(other, 'exit');
    await once(other.stdout, 'data');
    await Promise.all(Array.from({ length: 10 }, (_, n) => store.send(session, `Message ${n}`)));
    expect(await store.rows.countQueued(session)).toBe(10);
    expect(isGapFree(await store.events(session))).toBe(true);
    expect(await gone).toEqual([0, null]);
  });

  test('and a transaction that fails leaves neither rows nor a gap', async () => {
    const session = await store.createSession();
    const failing = store.log.write(session, async (tx) => {
      tx.patch({ model: 'broken' });
      tx.append('message.content_started', null, { step: 1 });
      throw new Error('on purpose');
    });
    await expect(failing).rejects.toThrow('on purpose');
    await store.send(session);
    expect(await store.sessionRow(session)).toMatchObject({ model: 'claude-haiku' });
    const events = await store.events(session);
    expect(events.map((event) => event.type)).toEqual(['session.created', 'message.created']);
    expect(isGapFree(events)).toBe(true);
  });
});

describe('a zombie attempt meets the fence', () => {
  async function replacedAttempt() {
    const session = await store.createSession();
    const message = await store.send(session);
    const zombie = writerOf(await store.open(message, null));
    await store.turns.appendText(zombie, 'From the zombie');
    const living = writerOf(await store.open(message, null));
    return { session, message, zombie, living };
  }

  test('and writes no delta, no completion, no failure and no bill', async () => {
    const { session, message, zombie, living } = await replacedAttempt();
    const before = await store.events(session);
    expect(await store.turns.appendText(zombie, ' too late')).toBe(false);
    expect(await store.turns.complete(zombie, ' too late', replyOf('late', TOKENS))).toBeUndefined();
    expect(await store.turns.failStep(zombie, failureOf({ usage: TOKENS }))).toBeUndefined();
    expect(await store.events(session)).toEqual(before);
    expect(await store.sessionRow(session)).toMatchObject({ input_tokens: 0, output_tokens: 0 });

    await store.turns.complete(living, 'From the living', replyOf('From the living', TOKENS));
    expect(await store.messageRow(message.replyId)).toMatchObject({
      status: 'completed',
      text: 'From the living',
      input_tokens: 10,
    });
    expect(await streamedText(store.db, message.replyId)).toBe('From the living');
  });

  test('also when the living one has finished', async () => {
    const { session, message, zombie, living } = await replacedAttempt();
    await store.turns.complete(living, 'Done', replyOf('Done'));
    const before = await store.events(session);
    for (const writer of [zombie, living]) {
      expect(await store.turns.appendText(writer, 'more')).toBe(false);
      expect(await store.turns.complete(writer, 'more', replyOf('more'))).toBeUndefined();
      expect(await store.turns.failStep(writer, failureOf({ retryable: false }))).toBeUndefined();
    }
    expect(await store.events(session)).toEqual(before);
    expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'completed', text: 'Done' });
  });

  test('in the next turn of the session', async () => {
    const { session, message, living } = await replacedAttempt();
    await store.turns.complete(living, 'Done', replyOf('Done'));
    const next = await store.open(await store.send(session), message.replyId);
    expect(await store.turns.appendText(living, 'more')).toBe(false);
    expect(await store.turns.appendText({ ...writerOf(next), fence: living.fence }, 'more')).toBe(false);
    expect(await store.turns.appendText({ ...living, fence: next.fence }, 'more')).toBe(false);
  });

  test('and exactly one of many attempts that finish at once', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    const attempts = [];
    for (let n = 0; n < 8; n += 1) attempts.push(writerOf(await store.open(message, null)));
    const done = await Promise.all(
      attempts.map((writer, n) => store.turns.complete(writer, `${n}`, replyOf(`${n}`))),
    );
    expect(done.map((closed) => closed?.reply.text)).toEqual([...Array(7).fill(undefined), '7']);
    expect(await store.story(session, message.replyId)).toEqual([
      ...['created', 'content_started', 'delta', 'content_ended', 'completed'],
    ]);
  });
});

describe('a finished step', () => {
  test('has the text that was streamed, the step, the bill and the end of the turn', async () => {
    const session = await store.createSession({ expires_after_seconds: 60 });
    const message = await store.send(session);
    const writer = writerOf(await store.open(message, null));
    const text = `${'😀'.repeat(3_000)} end`;
    await store.turns.appendText(writer, text.slice(0, 4_000));
    const closed = await store.turns.complete(writer, text.slice(4_000), replyOf(text, TOKENS));
    expect(await streamedText(store.db, message.replyId)).toBe(text);
    expect(closed?.reply).toMatchObject({ text, status: 'completed', stop_reason: 'end_turn' });
    expect(await store.messageRow(message.replyId)).toEqual(closed?.reply);
    const row = await store.sessionRow(session);
    expect(row).toMatchObject({ open_reply_id: null, head: message.replyId, input_tokens: 10 });
    expect(row.expires_at).toBe(row.updated_at + 60_000);
    expect(await store.rows.steps([message.replyId])).toMatchObject([{ n: 1, stop_reason: 'end_turn' }]);
    expect((await store.events(session)).at(-1)).toMatchObject({
      type: 'message.completed',
      data: { message: { id: message.replyId, content: text, usage: { total_tokens: 20 } } },
    });
  });
});

describe('a failed model call', () => {
  const fail = async (session: string, details: Parameters<typeof failureOf>[0] = {}) => {
    const message = await store.send(session);
    const head = (await store.sessionRow(session)).head;
    const attempt = async () =>
      store.turns.failStep(writerOf(await store.open(message, head)), failureOf(details));
    return { message, attempt };
  };

  test('leaves the reply open for another try, five times; the sixth ends the turn', async () => {
    const session = await store.createSession();
    const { message, attempt } = await fail(session);
    for (let n = 1; n < MODEL_ERRORS_MAX; n += 1) {
      expect(await attempt()).toEqual({ final: false, failures: n });
      expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'in_progress', error: null });
    }
    expect(await attempt()).toMatchObject({ final: true, reply: { status: 'failed' } });
    const story = await store.story(session, message.replyId);
    expect(story).toEqual(['created', 'content_started', 'error.occurred', 'failed']);
    expect((await store.events(session)).at(-1)?.data).toMatchObject({
      message: { status: 'failed', error: { code: 'model_overloaded', type: 'api_error', param: null } },
    });
  });

  test('that no further try can help ends the turn at once, and the session stays usable', async () => {
    const session = await store.createSession();
    const { message, attempt } = await fail(session, { retryable: false, code: 'context_too_long' });
    expect(await attempt()).toMatchObject({ final: true });
    expect(JSON.parse((await store.messageRow(message.replyId)).error ?? '')).toMatchObject({
      code: 'context_too_long',
    });
    expect(await store.sessionRow(session)).toMatchObject({ status: 'active', open_reply_id: null });
    const next = await store.send(session, 'Shorter');
    await store.answer(next, message.replyId);
    expect(await store.messageRow(next.replyId)).toMatchObject({ status: 'completed' });
  });

  test('keeps what its readers have already, and nobody can write to it any more', async () => {
    const session = await store.createSession();
    const message = await store.send(session);
    const writer = writerOf(await store.open(message, null));
    await store.turns.appendText(writer, 'Half an ans');
    await store.turns.failStep(writer, failureOf({ retryable: false }));
    expect(await store.messageRow(message.replyId)).toMatchObject({ status: 'failed', text: 'Half an ans' });
    expect(await store.turns.appendText(writer, 'wer')).toBe(false);
  });

  test('costs what it cost: the tokens of failed tries are counted on reply and session', async () => {
    const session = await store.createSession();
    const { message, attempt } = await fail(session, { usage: TOKENS });
    await attempt();
    await attempt();
    const writer = writerOf(await store.open(message, null));
    await store.turns.complete(writer, 'Hi', replyOf('Hi', TOKENS));
    const thrice = {
      ...{ input_tokens: 30, output_tokens: 15 },
      ...{ cache_creation_input_tokens: 9, cache_read_input_tokens: 6 },
    };
    expect(await store.messageRow(message.replyId)).toMatchObject(thrice);
    const row = await store.sessionRow(session);
    expect(row).toMatchObject(thrice);
    expect(row.cost_nano_usd).toBeGreaterThan(0);
    const calls = await store.db
      .selectFrom('model_calls')
      .selectAll()
      .where('session_id', '=', session)
      .execute();
    expect(calls.map((call) => call.outcome)).toEqual(['failed', 'failed', 'completed']);
    expect(row.cost_nano_usd).toBe(calls.reduce((sum, call) => sum + call.cost_nano_usd, 0));
  });

  test('of an earlier turn is not counted against the next', async () => {
    const session = await store.createSession();
    const first = await fail(session);
    for (let n = 0; n < MODEL_ERRORS_MAX; n += 1) await first.attempt();
    const second = await fail(session);
    expect(await second.attempt()).toEqual({ final: false, failures: 1 });
  });
});
