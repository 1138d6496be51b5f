// What a call costs that does not come to its own end, over HTTP: the table of outcomes in docs/model-failures.md.
import Database from 'better-sqlite3';
import { eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

interface Answering {
  sessionId: string;
  replyId: string;
}

const SLOW = 'Take your time [[tokens=100]] [[token_ms=50]]';

/** A reply whose first words its readers have. */
async function answering(content = SLOW): Promise<Answering> {
  const { id: sessionId } = await server.api.session();
  const { id: replyId } = await server.api.send(sessionId, content, { background: true });
  const types = async () => (await server.api.events(sessionId)).map(({ type }) => type);
  await eventually(types, (all) => all.includes('message.delta'));
  return { sessionId, replyId };
}

const messageOf = async ({ sessionId, replyId }: Answering) =>
  (await server.api.get(`/v1/sessions/${sessionId}/messages/${replyId}`)).body;
const sessionOf = async ({ sessionId }: Answering) =>
  (await server.api.get(`/v1/sessions/${sessionId}`)).body;

function ledgerOf({ sessionId }: Answering): { outcome: string; tokens: number }[] {
  const database = new Database(databaseFileIn(server.directory), { readonly: true });
  const sum = 'input_tokens + output_tokens + cache_creation_input_tokens + cache_read_input_tokens';
  const rows = database
    .prepare(`select outcome, ${sum} as tokens from model_calls where session_id = ? order by ended_at`)
    .all(sessionId);
  database.close();
  return rows as { outcome: string; tokens: number }[];
}

test.each([
  ['an interrupt', (id: string) => server.api.post(`/v1/sessions/${id}/interrupt`)],
  ['the end of its session', (id: string) => server.api.post(`/v1/sessions/${id}/complete`)],
  [
    'a message that interrupts it',
    (id: string) => server.api.send(id, 'Now', { on_busy: 'interrupt', background: true }),
  ],
])('a call that %s has ended is billed on its message, once', async (_name, end) => {
  const asked = await answering();
  await end(asked.sessionId);
  const message = await messageOf(asked);
  expect(message.status).toBe('interrupted');
  expect(message.usage.total_tokens).toBeGreaterThan(0);
  // The attempt hears of it within its two seconds, and has nothing to add.
  const isAborted = async () =>
    server.simulator.calls.filter(({ text }) => text === SLOW).every(({ outcome }) => outcome !== 'open');
  await eventually(isAborted, Boolean);
  const [line] = ledgerOf(asked);
  expect(line).toEqual({ outcome: 'interrupted', tokens: message.usage.total_tokens });
  expect(ledgerOf(asked).filter(({ outcome }) => outcome === 'interrupted')).toHaveLength(1);
  expect(await messageOf(asked)).toEqual(message);
});

test('a turn that a stopping worker hands over is billed for both calls, on message and session', async () => {
  const asked = await answering('Handed over [[tokens=30]] [[silent_after=5]] [[times=1]]');
  await server.restart();
  const message = await eventually(
    () => messageOf(asked),
    ({ status }) => status === 'completed',
  );
  const ledger = ledgerOf(asked);
  expect(ledger.map(({ outcome }) => outcome)).toEqual(['superseded', 'completed']);
  const tokens = ledger.reduce((sum, line) => sum + line.tokens, 0);
  expect(ledger[0]?.tokens).toBeGreaterThan(0);
  expect(message.usage.total_tokens).toBe(tokens);
  expect((await sessionOf(asked)).token_count).toBe(tokens);
});
