// The promise of a 202: a message that was acknowledged is answered, also when the server is killed in the next moment.
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, eventually } from '../support/api-client.ts';
import { cleanUp, type ServerProcess } from '../support/process.ts';
import { type Asked, answered, RECOVERY_MS_MAX, readBack, start } from './conversation.ts';

const ROUNDS = process.env.TEST_LONG === '1' ? 30 : 5;
const SESSIONS = 3;
/** The kill comes at any moment from the answer to well after the turn has begun. */
const DELAY_MS_MAX = 50;
const TEST_MS_MAX = 2 * RECOVERY_MS_MAX + ROUNDS * 10_000;

afterAll(cleanUp);

interface Sent {
  sessionId: string;
  content: string;
  /** Null when no acknowledgement came: such a message may be there or not. */
  acknowledged: Asked | null;
}

async function send(api: ApiClient, sessionId: string, content: string): Promise<Sent> {
  const body = { content, background: true };
  const answer = await api.post(`/v1/sessions/${sessionId}/messages`, body).catch(() => null);
  const acknowledged = answer?.status === 202 ? { sessionId, replyId: answer.body.id as string } : null;
  return { sessionId, content, acknowledged };
}

/** One client a session, sending as fast as it is answered; the first acknowledgement starts the clock of the kill. */
async function round(server: ServerProcess, sessionIds: string[], name: string): Promise<Sent[]> {
  const { api } = server;
  const sent: Sent[] = [];
  const sendOn = async (sessionId: string, count: number): Promise<void> => {
    const each = await send(api, sessionId, `message ${name}.${count}`);
    sent.push(each);
    if (each.acknowledged) await sendOn(sessionId, count + 1);
  };
  const clients = Promise.all(sessionIds.map((id) => sendOn(id, 1)));
  const isAcknowledged = async () => sent.length > 0;
  await eventually(isAcknowledged, Boolean);
  await sleep(Math.random() * DELAY_MS_MAX);
  server.kill('SIGKILL');
  await clients;
  await server.exit;
  return sent;
}

it(
  `every acknowledged message is there once and answered, after ${ROUNDS} kills right after a 202`,
  async () => {
    let server = await start();
    const { dataDir, port } = server;
    const sessionIds: string[] = [];
    for (let index = 0; index < SESSIONS; index += 1) sessionIds.push((await server.api.session()).id);
    const ledger: Sent[] = [];
    for (let index = 1; index <= ROUNDS; index += 1) {
      ledger.push(...(await round(server, sessionIds, String(index))));
      server = await start({ dataDir, port });
    }
    const readyAt = Date.now();
    const acknowledged = ledger.flatMap((each) => each.acknowledged ?? []);
    expect(acknowledged.length).toBeGreaterThanOrEqual(ROUNDS);
    for (const each of acknowledged) await answered(server.api, each);
    const words = `${acknowledged.length} acknowledged messages of ${ROUNDS} kills`;
    process.stdout.write(`${words}: all answered ${Date.now() - readyAt} ms after it was ready\n`);

    for (const sessionId of sessionIds) {
      const { messages } = await readBack(server.api, sessionId);
      const own = ledger.filter((each) => each.sessionId === sessionId);
      const contents = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
      expect(new Set(contents).size).toBe(contents.length);
      // In the order of their sending; one that was not acknowledged may stand among them.
      const certain = own.filter((each) => each.acknowledged).map(({ content }) => content);
      expect(contents.filter((content) => certain.includes(content))).toEqual(certain);
      expect(own.map(({ content }) => content)).toEqual(expect.arrayContaining(contents));
    }
  },
  TEST_MS_MAX,
);
