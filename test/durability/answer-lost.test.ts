// Acceptance test 43: the process dies between the model's answer and its recording. At most one call too many, one
// message that is seen, and both calls billed.
import type { ServerResponse } from 'node:http';
import Database from 'better-sqlite3';
import {
  API_KEY,
  closeAll,
  event,
  MESSAGE_START,
  messageEnd,
  openStream,
  serve,
  textBlock,
  until,
  whole,
} from '../models/support.ts';
import { eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { RECOVERY_MS_MAX } from './support/dev-installation.ts';
import { readSession } from './support/read-back.ts';

const FIRST = 'The first answer';
const SECOND = 'The second answer';
const FIRST_HALF = 'The first';
const TEST_MS_MAX = 2 * RECOVERY_MS_MAX;

interface Asked {
  sessionId: string;
  replyId: string;
}

/** What the log's readers have of the reply: nothing of what a reset voids. */
function textOf(events: any[]): string {
  const reset = events.findLastIndex(({ type }) => type === 'message.reset');
  const words = events.slice(reset + 1).filter(({ type }) => type === 'message.delta');
  return words.map(({ text }) => text).join('');
}

const answered = (server: ServerProcess, { sessionId, replyId }: Asked): Promise<any> =>
  eventually(
    async () => (await server.api.get(`/v1/sessions/${sessionId}/messages/${replyId}`)).body,
    ({ status }) => status === 'completed',
    RECOVERY_MS_MAX,
  );

afterAll(cleanUp);
afterAll(closeAll);

/** Asked for the first time, it answers by half and waits; then it answers at once. */
async function startProvider() {
  let waiting: ServerResponse | undefined;
  const { server } = await serve((response, count) => {
    openStream(response);
    if (count > 1) return void response.end(whole(textBlock(0, SECOND)));
    waiting = response;
    response.write(
      MESSAGE_START +
        event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }) +
        event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: FIRST_HALF } }),
    );
  });
  return {
    env: { ANTHROPIC_BASE_URL: server.url, ANTHROPIC_API_KEY: API_KEY },
    calls: () => server.requests.length,
    /** The rest of the first answer. @returns when the operating system has taken all of it. */
    async finish(): Promise<void> {
      await until(() => waiting !== undefined);
      const text = FIRST.slice(FIRST_HALF.length);
      const rest = event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
      const end = rest + event('content_block_stop', { index: 0 }) + messageEnd();
      await new Promise<void>((resolve) => waiting?.end(end, () => resolve()));
    },
  };
}

/** A reader has the first words, so the server knows what the call has cost so far. */
async function asked(server: ServerProcess): Promise<Asked> {
  const { id: sessionId } = await server.api.session();
  const { id: replyId } = await server.api.send(sessionId, 'Hello', { background: true });
  const words = async () => textOf(await server.api.events(sessionId));
  await eventually(words, (text) => text === FIRST_HALF);
  return { sessionId, replyId };
}

async function killedAndStarted(server: ServerProcess, env: Record<string, string>): Promise<ServerProcess> {
  server.kill('SIGKILL');
  await server.exit;
  return startServer({ dataDir: server.dataDir, port: server.port, env });
}

function ledgerOf({ dataDir }: ServerProcess, { sessionId }: Asked): { outcome: string; tokens: number }[] {
  const database = new Database(databaseFileIn(dataDir), { readonly: true });
  const sum = 'input_tokens + output_tokens + cache_creation_input_tokens + cache_read_input_tokens';
  const rows = database
    .prepare(`select outcome, ${sum} as tokens from model_calls where session_id = ? order by ended_at`)
    .all(sessionId);
  database.close();
  return rows as { outcome: string; tokens: number }[];
}

async function expectOneMessage(server: ServerProcess, asking: Asked, content: string): Promise<any> {
  const message = await answered(server, asking);
  expect(message).toMatchObject({ id: asking.replyId, content });
  const { events, messages } = await readSession(server.api, asking.sessionId);
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant']);
  expect(textOf(events)).toBe(content);
  expect(events.filter(({ type }) => type === 'message.completed')).toHaveLength(1);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  return message;
}

test(
  'an answer that the killed process never read is asked for once more, and both are billed',
  async () => {
    const { env, calls, finish } = await startProvider();
    const server = await startServer({ env });
    const asking = await asked(server);
    server.kill('SIGSTOP');
    await finish();
    const next = await killedAndStarted(server, env);
    const message = await expectOneMessage(next, asking, SECOND);
    expect(calls()).toBe(2);
    // Of the first call the provider had told what its input is.
    expect(ledgerOf(next, asking)).toEqual([
      { outcome: 'superseded', tokens: 24 },
      { outcome: 'completed', tokens: 65 },
    ]);
    expect(message.usage.total_tokens).toBe(89);
    const { body } = await next.api.get(`/v1/sessions/${asking.sessionId}`);
    expect(body.token_count).toBe(89);
    await next.stop();
  },
  TEST_MS_MAX,
);

test(
  'killed as the answer comes, it is seen once, whether it was recorded or not',
  async () => {
    const { env, calls, finish } = await startProvider();
    const server = await startServer({ env });
    const asking = await asked(server);
    await finish();
    const next = await killedAndStarted(server, env);
    const { content } = await answered(next, asking);
    await expectOneMessage(next, asking, content);
    expect([1, 2]).toContain(calls());
    expect(content).toBe(calls() === 1 ? FIRST : SECOND);
    const ledger = ledgerOf(next, asking);
    expect(ledger.map(({ outcome }) => outcome)).toEqual(
      calls() === 1 ? ['completed'] : ['superseded', 'completed'],
    );
    await next.stop();
  },
  TEST_MS_MAX,
);
