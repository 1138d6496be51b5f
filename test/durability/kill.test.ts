// Real processes, really killed, in the middle of answers: nothing is lost, nothing is answered twice.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/api-client.ts';
import { cleanUp, kill9, type ServerProcess } from '../support/process.ts';
import { isRunning } from '../support/process-list.ts';
import {
  type Asked,
  answered,
  ask,
  expectOneAnswer,
  expectPrefix,
  RECOVERY_MS_MAX,
  readBack,
  start,
  watch,
} from './conversation.ts';

const WORDS = 300;
const LONG_ANSWER = `[[tokens=${WORDS} token_ms=10]]`;
/** So many deltas have reached the client before the kill. */
const DELTAS_SEEN_MIN = 20;
const TEST_MS_MAX = 2 * RECOVERY_MS_MAX;

const measured: string[] = [];
afterAll(() => process.stdout.write(`${measured.join('\n')}\n`));
afterAll(cleanUp);

const startAgain = ({ dataDir, port }: ServerProcess) => start({ dataDir, port });

/** Each does its harm and gives back the server that runs afterwards. */
const harms: Record<string, (server: ServerProcess) => Promise<ServerProcess>> = {
  'kill -9 of the server': async (server) => {
    server.kill('SIGKILL');
    await server.exit;
    return startAgain(server);
  },
  'kill -9 of its Temporal server': async (server) => {
    await kill9(server.temporal()?.pid ?? 0);
    return server;
  },
  'kill -9 of both': async (server) => {
    const temporal = server.temporal()?.pid ?? 0;
    server.kill('SIGKILL');
    await kill9(temporal);
    await server.exit;
    return startAgain(server);
  },
  'a second kill -9 as soon as it is back': async (server) => {
    server.kill('SIGKILL');
    await server.exit;
    const second = await startAgain(server);
    second.kill('SIGKILL');
    await second.exit;
    return startAgain(server);
  },
  "kill -9 of both and the loss of Temporal's data": async (server) => {
    const temporal = server.temporal()?.pid ?? 0;
    server.kill('SIGKILL');
    await kill9(temporal);
    await server.exit;
    rmSync(join(server.dataDir, 'temporal'), { recursive: true });
    return startAgain(server);
  },
  'SIGTERM, and kill -9 while it stops': async (server) => {
    server.kill('SIGTERM');
    const isStopping = async () => server.stderr().includes('Stopping');
    await eventually(isStopping, Boolean);
    server.kill('SIGKILL');
    await server.exit;
    return startAgain(server);
  },
  SIGTERM: async (server) => {
    expect(await server.stop('SIGTERM')).toEqual({ code: 0, signal: null });
    return startAgain(server);
  },
};

describe.each(Object.keys(harms))('after %s in the middle of answers', (name) => {
  let before: ServerProcess;
  let temporalBefore: number | undefined;
  let server: ServerProcess;
  let streamed: Asked;
  let stream: ReturnType<typeof watch>;
  let waited: { sessionId: string; first: Promise<any>; retry: () => Promise<any> };
  let queued: Asked[];

  beforeAll(async () => {
    before = await start();
    temporalBefore = before.temporal()?.pid;
    const { api } = before;
    const ids = [(await api.session()).id, (await api.session()).id, (await api.session()).id] as const;
    stream = watch(api, ids[0], LONG_ANSWER);
    const send = () =>
      server.api.post(
        `/v1/sessions/${ids[1]}/messages`,
        { content: LONG_ANSWER },
        { 'Idempotency-Key': 'once' },
      );
    server = before;
    waited = { sessionId: ids[1], first: send().catch(() => 'cut'), retry: send };
    queued = [];
    for (const content of [LONG_ANSWER, 'one', 'two', 'three']) queued.push(await ask(api, ids[2], content));
    const isStreaming = async () => stream.deltas().length >= DELTAS_SEEN_MIN;
    await eventually(isStreaming, Boolean);
    streamed = { sessionId: ids[0], replyId: stream.replyId() };
    server = await harms[name]!(before);
    const readyAt = Date.now();
    await answered(server.api, streamed);
    const completedAt = Date.now();
    await recordRecovery(readyAt, completedAt);
  }, TEST_MS_MAX);
  afterAll(() => server.stop());

  async function recordRecovery(readyAt: number, completedAt: number): Promise<void> {
    const events = await server.api.events(streamed.sessionId);
    const reset = events.findLast(({ type }) => type === 'message.reset');
    const taken = reset
      ? `taken up again ${Date.parse(reset.created_at) - readyAt} ms`
      : 'never interrupted; whole';
    measured.push(`${name}: ${taken} after it was ready, answered after ${completedAt - readyAt} ms`);
  }

  it('the streamed answer is there once, whole, and the same in the log', async () => {
    await expectOneAnswer(server.api, streamed, WORDS);
  });

  it('what its reader saw is the beginning of the log', async () => {
    const events = await server.api.events(streamed.sessionId);
    await stream.ended;
    expectPrefix(stream.frames, events, streamed.replyId);
  });

  it(
    'a waiting call that is repeated with its key gets the one answer',
    async () => {
      await waited.first;
      const { status, headers, body } = await waited.retry();
      expect(status).toBe(200);
      expect(headers.get('idempotent-replayed')).toBe('true');
      expect(body.status).toBe('completed');
      await expectOneAnswer(server.api, { sessionId: waited.sessionId, replyId: body.id }, WORDS);
    },
    TEST_MS_MAX,
  );

  it(
    'the messages that were queued are answered in their order',
    async () => {
      const replies = [];
      for (const each of queued) replies.push(await answered(server.api, each));
      const { messages } = await readBack(server.api, queued[0]!.sessionId);
      expect(messages.map(({ role }) => role)).toEqual(Array(4).fill(['user', 'assistant']).flat());
      const users = messages.filter(({ role }) => role === 'user');
      expect(users.map(({ content }) => content)).toEqual([LONG_ANSWER, 'one', 'two', 'three']);
      expect(messages.filter(({ role }) => role === 'assistant')).toEqual(replies);
      for (const [index, each] of replies.slice(1).entries())
        expect(each.content).toContain(`That is user message ${index + 2} of this conversation`);
    },
    TEST_MS_MAX,
  );

  if (name === 'kill -9 of its Temporal server')
    it('the server has gone on with another Temporal server, and its reader has the whole answer', async () => {
      expect(server.pid).toBe(before.pid);
      expect(isRunning(server.pid)).toBe(true);
      expect(server.temporal()?.pid).not.toBe(temporalBefore);
      expect(await stream.ended).toBe('ended');
      expect(stream.frames.at(-1)?.data).toMatchObject({ type: 'message', message: { status: 'completed' } });
      expect((await waited.first).status).toBe(200);
    });

  it('it still converses', async () => {
    const reply = await server.api.send(streamed.sessionId, 'Are you still there?');
    expect(reply.content).toContain('That is user message 2 of this conversation');
  });
});
