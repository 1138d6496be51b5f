// Acceptance test 49: random sessions, messages, calls of tools and their results, interrupts, changes, ends, retries and
// kills, held against a model.
import fc from 'fast-check';
import { type ApiClient, eventually } from '../support/api-client.ts';
import { isLong } from '../support/long.ts';
import { cleanUp } from '../support/process.ts';
import { type Real, steps } from './random-commands.ts';
import { anotherResult, toolSteps } from './random-tool-commands.ts';
import { type Model, type ModelSession, newSession, type Turn } from './reference-model.ts';
import { RECOVERY_MS_MAX, start } from './support/dev-installation.ts';
import { TOOLS } from './support/tool.ts';

const RUNS = isLong ? 500 : 6;
/** The short form always does the same: six runs of chance may be without any kill. */
const SEED = isLong ? {} : { seed: 1 };
const STEPS_MAX = 40;
const TEST_MS_MAX = isLong ? 45 * 60_000 : 3 * 60_000;
const FINAL_TYPES = ['message.completed', 'message.interrupted', 'message.failed'];

afterAll(cleanUp);

/** What a turn must come to by itself: those before a held one are answered, it is open, and the rest waits. */
function expectedOf(turns: Turn[]): string[] {
  const held = turns.findIndex(({ isHeld, ended }) => isHeld && ended === null);
  return turns.map(({ ended, results }, index) => {
    if (ended !== null) return ended;
    if (held === -1 || index < held) return 'completed';
    if (index > held) return 'queued';
    return results ? 'requires_action' : 'in_progress';
  });
}

/** Each call has one result at most, and those that were taken are the model's. */
function expectOneResultEach(session: ModelSession, events: any[]): void {
  const completed = events.filter(({ type }) => type === 'tool.completed');
  const ids = completed.map(({ tool_call }) => tool_call.id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { replyId, results, runsOut, ended } of session.turns) {
    const own = completed
      .filter(({ message_id }) => message_id === replyId)
      .map(({ tool_call }) => tool_call);
    const taken = own.filter(({ status }) => status === 'completed').map(({ result }) => result);
    expect(taken).toEqual(results ?? []);
    if (runsOut && ended === 'completed') expect(own).toMatchObject([{ status: 'timed_out' }]);
  }
}

async function expectAgreement(api: ApiClient, session: ModelSession): Promise<void> {
  const path = `/v1/sessions/${session.id}`;
  if (session.status === 'deleted') {
    expect((await api.get(path)).status).toBe(404);
    return;
  }
  const statuses = async () => {
    const replies = session.turns.map(({ replyId }) => api.get(`${path}/messages/${replyId}`));
    return (await Promise.all(replies)).map(({ body }) => body.status);
  };
  const expected = expectedOf(session.turns);
  await eventually(statuses, (found) => `${found}` === `${expected}`, RECOVERY_MS_MAX);

  const messages = (await api.get(`${path}/messages?limit=100`)).body.data;
  const said = messages.filter(({ role }: any) => role === 'user').map(({ content }: any) => content);
  expect(said).toEqual(session.turns.map(({ content }) => content));
  const events = await api.events(session.id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  for (const [index, { replyId }] of session.turns.entries()) {
    const ends = events.filter((event) => event.message_id === replyId && FINAL_TYPES.includes(event.type));
    const isOver = FINAL_TYPES.includes(`message.${expected[index]}`);
    expect(ends.map(({ type }) => type)).toEqual(isOver ? [`message.${expected[index]}`] : []);
  }
  expectOneResultEach(session, events);
}

it(
  `${RUNS} random runs agree with the model, through kill -9`,
  async () => {
    const real: Real = { server: await start(), done: [], kills: 0, lateResults: 0, writes: 0 };
    const property = fc.asyncProperty(
      fc.commands([...steps, ...toolSteps], { maxCommands: STEPS_MAX, size: 'max' }),
      async (run) => {
        const model: Model = {
          sessions: [newSession((await real.server.api.session({ tools: TOOLS })).id, {}, TOOLS)],
        };
        real.done = [];
        await fc.asyncModelRun(() => ({ model, real }), run);
        if (anotherResult.check(model)) await anotherResult.run(model, real);
        for (const session of model.sessions) await expectAgreement(real.server.api, session);
        // A held turn would go on for ever.
        for (const { id, status } of model.sessions)
          if (status !== 'deleted') await real.server.api.delete(`/v1/sessions/${id}`);
      },
    );
    // Starts cost seconds, so a failure is shrunk by hand only: with its seed, and `endOnFailure: false`.
    await fc.assert(property, { ...SEED, numRuns: RUNS, endOnFailure: true });
    process.stdout.write(
      `${RUNS} random runs: ${real.writes} writes, ${real.kills} kills, ${real.lateResults} late results\n`,
    );
    expect(real.kills).toBeGreaterThan(0);
    expect(real.lateResults).toBeGreaterThan(0);
    expect(real.writes).toBeGreaterThan(RUNS * 5);
  },
  TEST_MS_MAX,
);
