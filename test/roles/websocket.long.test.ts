// WebSockets over several `api` processes: what one began the other goes on with, also behind a `kill -9`.

import { type Deployment, startDeployment } from '../support/deployment.ts';
import { cleanUp } from '../support/process.ts';
import { openSocket, type TestSocket } from '../support/socket-client.ts';

const SLOW_ANSWER = '[[tokens=60 token_ms=40]]';
/** A peer that has let go is let go; the process waits for it no longer than this. */
const STOPPED_WITHIN_MS = 8_000;

let deployment: Deployment;
const opened: TestSocket[] = [];
beforeAll(async () => {
  deployment = await startDeployment({ workers: 1 });
}, 90_000);
afterAll(async () => {
  for (const { socket } of opened) socket.terminate();
  await deployment?.stop();
  await cleanUp();
}, 60_000);

const apis = () => deployment.apis();

async function connect(api: number, sessionId: string, after: number): Promise<TestSocket> {
  const { url, client } = apis()[api]!;
  const socket = await openSocket(`${url}/v1/sessions/${sessionId}/ws?after=${after}`, { key: client.key });
  opened.push(socket);
  return socket;
}

const isOver = ({ type, message }: any) => type === 'message' && message.status === 'completed';
const isDelta = ({ type }: any) => type === 'content_delta';
const lastSeq = (tab: TestSocket): number => tab.events().at(-1).seq;

function expectWhole(parts: TestSocket[], content: string): void {
  const all = parts.flatMap((part) => part.events());
  expect(all.map(({ seq }) => seq)).toEqual(all.map((_, index) => index + 1));
  const text = all.filter(isDelta).map(({ text }) => text);
  expect(text.join('')).toBe(content);
}

it('a message told to one api is followed through the other, and a reader that left one goes on in the other', async () => {
  const { id } = await apis()[0]!.client.session();
  const [first, other] = [await connect(0, id, 0), await connect(1, id, 0)];
  expect(await first.ask({ type: 'message', content: SLOW_ANSWER })).toMatchObject({ type: 'ack' });
  await first.until(isDelta);
  await first.close();
  const rest = await connect(1, id, lastSeq(first));
  const { message } = await rest.until(isOver);
  await other.until(isOver);
  expect(first.events().some(isOver)).toBe(false);
  expectWhole([first, rest], message.content);
  expectWhole([other], message.content);
});

it('an api that is killed mid-sentence loses nobody a word: readers go on in the other, and in its next life', async () => {
  const { id } = await apis()[1]!.client.session();
  const first = await connect(0, id, 0);
  await first.ask({ type: 'message', content: SLOW_ANSWER });
  await first.until(isDelta);
  await apis()[0]!.kill();
  expect((await first.closed).code).toBe(1006);
  const rest = await connect(1, id, lastSeq(first));
  const { message } = await rest.until(isOver);
  expect(first.events().some(isOver)).toBe(false);
  expectWhole([first, rest], message.content);
  await apis()[0]!.revive();
  const again = await connect(0, id, lastSeq(first));
  await again.until(isOver);
  expect(again.events()).toEqual(rest.events());
});

it('an api that is told to stop says so to its readers, and waits for none that does not listen', async () => {
  const { id } = await apis()[1]!.client.session();
  const [listening, deaf] = [await connect(1, id, 0), await connect(1, id, 0)];
  deaf.socket.pause();
  const server = apis()[1]!.process();
  const stoppedAt = Date.now();
  server.kill('SIGTERM');
  expect((await listening.closed).code).toBe(1001);
  await server.exit;
  expect(Date.now() - stoppedAt).toBeLessThan(STOPPED_WITHIN_MS);
  await apis()[1]!.revive();
});
