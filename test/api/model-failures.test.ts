// Every row of docs/model-failures.md, over HTTP against the running system: the provider does it once and then well, or
// does it until nobody tries any more.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createAnthropicModel } from '../../src/models/anthropic.ts';
import type { Model, ModelRequest } from '../../src/models/port.ts';
import { API_KEY, closeAll, closeLater, openStream, serve, textBlock, whole } from '../models/support.ts';
import { eventually, type SseFrame } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';
import {
  ANSWER,
  FAILURES,
  type FailureRow,
  failuresTable,
  ODD_ANSWERS,
  type OddRow,
  oddAnswersTable,
  TOLD_TOKENS,
  WHOLE_TOKENS,
} from './model-failures.ts';

/** After so many errors of one step nobody tries again; see MODEL_ERRORS_MAX. */
const TRIES_MAX = 6;
/** Rows wait for each other's real delays, on a machine that other suites share. */
const ROWS_MS_MAX = 60_000;

let server: TestSystem;

/** What the provider was asked by each question, try by try, and when. */
const asked = new Map<string, { atMs: number; shown: string }[]>();
/** What it does at each try of a question; after them it answers well. */
const plans = new Map<string, FailureRow['answer'][]>();

const questionOf = ({ messages }: ModelRequest): string => String(messages.at(-1)?.content.at(-1)?.text);

/** Whose question it is. */
const sessions = new Map<string, string>();

/** Resolves when the log has words that the question's present try has said. */
async function heard(question: string): Promise<void> {
  const sessionId = sessions.get(question) ?? '';
  const last = async () => (await server.api.events(sessionId)).at(-1)?.type;
  // A poll that fails is no reason for the provider to fail otherwise than it is to.
  await eventually(
    () => last().catch(() => undefined),
    (type) => type === 'message.delta',
  );
}

async function startProvider(): Promise<Model> {
  const raw = await serve(
    async (response, count) => {
      const body = raw.server.requests[count - 1]?.body as unknown as ModelRequest;
      const question = questionOf(body);
      const tries = asked.get(question) ?? [];
      const answer = plans.get(question)?.[tries.length - 1];
      if (typeof answer === 'function') return answer(response, () => heard(question));
      openStream(response).end(whole(textBlock(0, ANSWER)));
    },
    { silenceTimeoutMs: 3_000 },
  );
  // A port that was free a moment ago, and one where the handshake is never answered.
  const closed = await serve(() => undefined);
  await closed.server.close();
  const mute = createServer((socket) => socket.resume().on('error', () => undefined));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  closeLater(() => new Promise((resolve) => mute.close(() => resolve())));
  const { port } = mute.address() as { port: number };
  const unanswered = createAnthropicModel({
    apiKey: API_KEY,
    baseUrl: `https://127.0.0.1:${port}`,
    connectTimeoutMs: 300,
  });
  closeLater(unanswered.close);
  const elsewhere = { 'nobody listens': closed.model, 'nobody answers': unanswered };
  return {
    stream(request, options) {
      const question = questionOf(request);
      const tries = asked.get(question) ?? [];
      asked.set(question, [...tries, { atMs: Date.now(), shown: JSON.stringify(request.messages) }]);
      const answer = plans.get(question)?.[tries.length];
      const model = typeof answer === 'string' ? elsewhere[answer] : raw.model;
      return model.stream(request, options);
    },
  };
}

/** A failure that costs no time: the next try comes at once. */
const quick: FailureRow['answer'] = (response) =>
  void response.writeHead(529, { 'retry-after-ms': '1' }).end();

const textOf = (frames: { data: any }[], type: string) =>
  frames.filter(({ data }) => data.type === type).map(({ data }) => data.text);

/** Text of a stream as its reader has it: what a reset voids is gone. */
function textRead(frames: SseFrame[]): string {
  const reset = frames.findLastIndex(({ data }) => data.type === 'content_reset');
  return textOf(frames.slice(reset + 1), 'content_delta').join('');
}

interface Asked {
  sessionId: string;
  question: string;
}

async function ask(question: string, plan: FailureRow['answer'][]): Promise<Asked> {
  plans.set(question, plan);
  const sessionId = (await server.api.session()).id;
  sessions.set(question, sessionId);
  return { sessionId, question };
}

/** The session goes on, and shows the model what it is to see of the turn before. */
async function afterwards({ sessionId, question }: Asked) {
  const next = await server.api.send(sessionId, `and then? ${question}`);
  const { body } = await server.api.get(`/v1/sessions/${sessionId}`);
  const shown = asked.get(`and then? ${question}`)?.[0]?.shown ?? '';
  return { next, session: body, isShown: shown.includes(`"${question}"`) };
}

async function recovered(row: FailureRow) {
  const asking = await ask(`${row.provider}, once`, [row.answer]);
  const frames: SseFrame[] = [];
  for await (const frame of server.api.stream(asking.sessionId, asking.question)) frames.push(frame);
  const tries = asked.get(asking.question) ?? [];
  return { frames, tries, message: frames.at(-1)?.data.message, after: await afterwards(asking) };
}

async function exhausted(row: FailureRow) {
  const plan = row.isFinal ? [row.answer] : [...Array(TRIES_MAX - 1).fill(quick), row.answer];
  const asking = await ask(`${row.provider}, always`, plan);
  const path = `/v1/sessions/${asking.sessionId}/messages`;
  const answer = await server.api.post(path, { content: asking.question });
  const events = await server.api.events(asking.sessionId);
  const tries = asked.get(asking.question) ?? [];
  return { answer, events, tries, after: await afterwards(asking) };
}

async function odd(row: OddRow) {
  const asking = await ask(row.provider, [
    (response) =>
      void response.writeHead(200, { 'content-type': row.contentType ?? 'text/event-stream' }).end(row.wire),
  ]);
  const frames: SseFrame[] = [];
  for await (const frame of server.api.stream(asking.sessionId, asking.question)) frames.push(frame);
  return { frames, message: frames.at(-1)?.data.message, after: await afterwards(asking) };
}

/** Many at once, for they mostly wait; a row that is slow or fails takes only its own tests with it. */
const LANES = 16;
const lanes: Promise<unknown>[] = Array(LANES).fill(Promise.resolve());
const started = new Map<string, Promise<any>>();
const begin = (name: string, run: () => Promise<unknown>) => {
  const lane = started.size % LANES;
  const running = (lanes[lane] as Promise<unknown>).then(run);
  lanes[lane] = running.catch(() => undefined);
  started.set(name, running);
};

const retried = FAILURES.filter((row) => !row.isFinal);

beforeAll(async () => {
  server = await startTestSystem({ model: await startProvider() });
  for (const row of retried) begin(`${row.provider}, once`, () => recovered(row));
  for (const row of FAILURES) begin(`${row.provider}, always`, () => exhausted(row));
  for (const row of ODD_ANSWERS) begin(row.provider, () => odd(row));
});
afterAll(async () => {
  await Promise.all(lanes);
  await server.stop();
  await closeAll();
}, ROWS_MS_MAX);

test.each([
  ['failures', failuresTable()],
  ['odd answers', oddAnswersTable()],
])('the document has exactly these %s', (_name, table) => {
  const document = readFileSync(join(__dirname, '../../docs/model-failures.md'), 'utf8');
  expect(document.split('\n\n')).toContain(table);
});

describe.each(retried)('a provider that $provider, once', (row) => {
  const run = (): ReturnType<typeof recovered> => started.get(`${row.provider}, once`)!;

  test(
    'is asked again, and its readers have the whole answer and no error',
    async () => {
      const { frames, tries, message } = await run();
      expect(tries).toHaveLength(2);
      expect(message).toMatchObject({ status: 'completed', content: ANSWER, error: null });
      expect(textRead(frames)).toBe(ANSWER);
      const names = frames.map(({ data }) => data.type);
      expect(names).not.toContain('error');
      expect(names.filter((name) => name === 'content_reset')).toHaveLength(row.said ? 1 : 0);
      expect(textOf(frames, 'content_delta').join('')).toBe(`${row.said ?? ''}${ANSWER}`);
      const [first, second] = tries;
      expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(row.waitsMs ?? 0);
    },
    ROWS_MS_MAX,
  );

  test('is billed for every try', async () => {
    const { message, after } = await run();
    const tokens = WHOLE_TOKENS + (row.isBilled ? TOLD_TOKENS : 0);
    expect(message.usage.total_tokens).toBe(tokens);
    expect(after.session.token_count).toBe(tokens + WHOLE_TOKENS);
  });
});

describe.each(FAILURES)('a provider that $provider, until nobody tries any more', (row) => {
  const run = (): ReturnType<typeof exhausted> => started.get(`${row.provider}, always`)!;

  test(
    'fails the message, and the waiting caller hears so with 200',
    async () => {
      const { answer, tries } = await run();
      expect(tries).toHaveLength(row.isFinal ? 1 : TRIES_MAX);
      expect(answer.status).toBe(200);
      const { content, ...message } = answer.body;
      expect(message).toMatchObject({ status: 'failed', stop_reason: null, error: { code: row.code } });
      expect(Object.keys(message.error)).toEqual(['code', 'message', 'param', 'type']);
      if (row.said === 'endless') expect(content.length).toBeGreaterThan(10_000);
      else expect(content).toBe(row.said ?? '');
    },
    ROWS_MS_MAX,
  );

  test('says so once, just before the end', async () => {
    const { events, answer } = await run();
    const types: string[] = events.map(({ type }) => type);
    expect(types.slice(-2)).toEqual(['error.occurred', 'message.failed']);
    expect(types.filter((type) => type === 'error.occurred')).toHaveLength(1);
    expect(events.at(-2).error).toEqual(answer.body.error);
    const text = events.filter(({ type }) => type === 'message.delta').map((delta) => delta.text);
    expect(text.join('')).toBe(answer.body.content);
  });

  test('leaves the session usable, and bills what the tries had told', async () => {
    const { answer, after } = await run();
    expect(after.next).toMatchObject({ status: 'completed', content: ANSWER });
    expect(after.isShown).toBe(!row.isLeftOut);
    const tokens = row.isBilled ? TOLD_TOKENS : 0;
    expect(answer.body.usage.total_tokens).toBe(tokens);
    expect(after.session.token_count).toBe(tokens + WHOLE_TOKENS);
  });
});

describe.each(ODD_ANSWERS)('an answer that is odd: $provider', (row) => {
  const run = (): ReturnType<typeof odd> => started.get(row.provider)!;

  test(
    'completes its message as it is',
    async () => {
      const { frames, message } = await run();
      const { stopReason: stop_reason, content } = row;
      expect(message).toMatchObject({ status: 'completed', stop_reason, content, error: null });
      expect(textRead(frames)).toBe(row.content);
    },
    ROWS_MS_MAX,
  );

  test('leaves the session usable', async () => {
    const { after } = await run();
    expect(after.next).toMatchObject({ status: 'completed', content: ANSWER });
    expect(after.isShown).toBe(!row.isLeftOut);
  });
});

test('while a try is waited for, the state tells why and until when, and an interrupt is heard', async () => {
  const wait: FailureRow['answer'] = (response) =>
    void response.writeHead(429, { 'retry-after': '1800' }).end('{"error":{"message":"Half an hour"}}');
  const { sessionId, question } = await ask('wait for it', [wait]);
  const waiting = server.api.send(sessionId, question);
  const state = async () => (await server.api.get(`/v1/sessions/${sessionId}/state`)).body;
  const { phase, activity } = await eventually(state, ({ activity }) => activity?.next_retry_at != null);
  expect(phase).toBe('running');
  expect(activity).toMatchObject({ type: 'modelStep', attempt: 2 });
  expect(activity.last_failure).toContain('429');
  const dueMs = Date.parse(activity.next_retry_at) - (asked.get(question)?.[0]?.atMs ?? 0);
  expect(dueMs).toBeGreaterThanOrEqual(1_800_000);
  expect(dueMs).toBeLessThan(1_860_000);
  await server.api.post(`/v1/sessions/${sessionId}/interrupt`);
  expect(await waiting).toMatchObject({ status: 'interrupted', error: null });
  const types = (await server.api.events(sessionId)).map(({ type }) => type);
  expect(types).not.toContain('error.occurred');
  expect((await server.api.send(sessionId, 'and now?')).status).toBe('completed');
});
