// Clients that go on talking, as an SDK would, while the server and its Temporal server are killed again and again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, ApiClient } from '../support/api-client.ts';
import { cleanUp, kill9, type ServerProcess } from '../support/process.ts';
import { RECOVERY_MS_MAX, readBack, start } from './conversation.ts';

const KILLS = process.env.TEST_LONG === '1' ? 30 : 4;
const CLIENTS = 4;
/** Between a start and the next kill: from the middle of the start's own work to well into the answers. */
const CALM_MS_MAX = 3_000;
const RETRY_MS = 100;
const TEST_MS_MAX = 2 * RECOVERY_MS_MAX + KILLS * 15_000;

afterAll(cleanUp);

interface Storm {
  server: ServerProcess;
  isOver: boolean;
}

interface Spoken {
  content: string;
  reply: { id: string; content: string };
}

/** One call, repeated with its key until it is answered; an answer that is not there yet is asked for again. */
async function say(storm: Storm, sessionId: string, content: string): Promise<Spoken> {
  for (;;) {
    const send = (api: ApiClient): Promise<Answer> =>
      api.post(`/v1/sessions/${sessionId}/messages`, { content }, { 'Idempotency-Key': content });
    const answer = await send(storm.server.api).catch(() => null);
    if (answer?.status === 200) return { content, reply: answer.body };
    // Nothing was heard, nothing was accepted for now, or the server stopped while it waited: all else is a fault.
    expect([undefined, 503, 202]).toContain(answer?.status);
    await sleep(RETRY_MS);
  }
}

async function converse(storm: Storm, sessionId: string): Promise<Spoken[]> {
  const spoken: Spoken[] = [];
  while (!storm.isOver)
    spoken.push(await say(storm, sessionId, `message ${spoken.length + 1} [[tokens=40 token_ms=10]]`));
  return spoken;
}

const victims = ['server', 'Temporal', 'both'] as const;

/** By turns the one, the other and both, at a random moment. */
async function harm(storm: Storm, round: number): Promise<void> {
  await sleep(Math.random() * CALM_MS_MAX);
  const { server } = storm;
  const victim = victims[round % victims.length];
  const temporal = server.temporal()?.pid;
  if (victim !== 'Temporal') server.kill('SIGKILL');
  if (victim !== 'server' && temporal !== undefined) await kill9(temporal);
  if (victim === 'Temporal') return;
  await server.exit;
  storm.server = await start({ dataDir: server.dataDir, port: server.port });
}

it(
  `${CLIENTS} conversations lose nothing and say nothing twice through ${KILLS} kills at random moments`,
  async () => {
    const storm: Storm = { server: await start(), isOver: false };
    const sessionIds: string[] = [];
    for (let index = 0; index < CLIENTS; index += 1) sessionIds.push((await storm.server.api.session()).id);
    const conversations = Promise.all(sessionIds.map((id) => converse(storm, id)));
    for (let round = 0; round < KILLS; round += 1) await harm(storm, round);
    storm.isOver = true;
    const calmAt = Date.now();
    const spoken = await conversations;
    const count = spoken.flat().length;
    process.stdout.write(
      `${count} turns through ${KILLS} kills; the last ended ${Date.now() - calmAt} ms after\n`,
    );

    for (const [index, sessionId] of sessionIds.entries()) {
      const { messages } = await readBack(storm.server.api, sessionId);
      const expected = spoken[index]?.flatMap(({ content, reply }) => [content, reply.content]);
      expect(messages.map(({ content }) => content)).toEqual(expected);
      expect(new Set(messages.map(({ status }) => status))).toEqual(new Set(['completed']));
    }
  },
  TEST_MS_MAX,
);
