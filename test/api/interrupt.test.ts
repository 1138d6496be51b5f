// An interrupt is answered while the model would still take a minute: the test's own timeout is the bound (design 2a.6).
import { eventually } from '../support/api-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let server: TestSystem;
beforeAll(async () => {
  server = await startTestSystem();
});
afterAll(() => server.stop());

const NEXT_TRY_IN_A_MINUTE = '[[status=529 retry_after=60]]';
const SILENT_FOR_A_MINUTE = '[[delay_ms=60000]]';
const MINUTES_OF_WORDS = '[[tokens=6000]] [[token_ms=20]]';
const SILENT_IN_THE_MIDDLE = '[[tokens=20]] [[silent_after=4]]';

const pathOf = (session: { id: string }) => `/v1/sessions/${session.id}`;

const messagesOf = async (session: { id: string }) =>
  (await server.api.get(`${pathOf(session)}/messages`)).body.data;

const interrupt = (session: { id: string }, api = server.api) => api.post(`${pathOf(session)}/interrupt`);

const last = (list: any[]) => list.at(-1);

/** A session whose turn has come to where the test wants it, and what the client who waits for it will get. */
async function turnAt(text: string, phase: (session: { id: string }) => Promise<unknown>) {
  const session = await server.api.session();
  const answer: Promise<any> = server.api.send(session.id, text);
  await phase(session);
  return { session, answer };
}

const whenBegun = (session: { id: string }) =>
  eventually(
    () => messagesOf(session),
    (all) => last(all)?.status === 'in_progress',
  );

const whenSpeaking = (session: { id: string }) =>
  eventually(
    () => messagesOf(session),
    (all) => last(all)?.content?.length > 20 && last(all).role === 'assistant',
  );

const whenRetrying = (session: { id: string }) =>
  eventually(
    async () => (await server.api.get(`${pathOf(session)}/state`)).body,
    (state) => state.activity?.last_failure != null,
  );

const PHASES = [
  ['before the first word', SILENT_FOR_A_MINUTE, whenBegun, /^$/],
  ['while words come', MINUTES_OF_WORDS, whenSpeaking, /\] \w+/],
  ['while the model is silent in the middle', SILENT_IN_THE_MIDDLE, whenSpeaking, /\w/],
  ['while the next try is awaited', NEXT_TRY_IN_A_MINUTE, whenRetrying, /^$/],
] as const;

describe.each(PHASES)('%s', (_, text, phase, said) => {
  test('an interrupt ends the turn, keeps its text, and the next message is answered', async () => {
    const { session, answer } = await turnAt(text, phase);
    const { status, body } = await interrupt(session);
    expect([status, body.interrupted]).toEqual([200, true]);
    expect(body.message).toMatchObject({
      ...{ status: 'interrupted', stop_reason: 'interrupted', error: null },
      content: expect.stringMatching(said),
    });
    expect(await answer).toEqual(body.message);
    expect(await server.api.send(session.id, 'go on')).toMatchObject({ status: 'completed' });
    expect(last(await messagesOf(session)).parent_id).not.toBeNull();
    expect((await messagesOf(session))[1]).toEqual(body.message);
  });

  test('a message with on_busy interrupt ends the turn and is answered next', async () => {
    const { session, answer } = await turnAt(text, phase);
    const next = await server.api.send(session.id, 'rather this', { on_busy: 'interrupt' });
    expect(next).toMatchObject({ status: 'completed', content: '[simulated] rather this' });
    const ended = await answer;
    expect(ended).toMatchObject({ status: 'interrupted', content: expect.stringMatching(said) });
    expect(await messagesOf(session)).toMatchObject([
      { role: 'user' },
      ended,
      { content: 'rather this', parent_id: ended.id },
      { id: next.id },
    ]);
  });
});

describe('with no worker at all', () => {
  let idle: TestSystem;
  beforeAll(async () => {
    idle = await startTestSystem({ idle: true });
  });
  afterAll(() => idle.stop());

  test('the first of the messages that wait is interrupted, and the others wait on', async () => {
    const session = await idle.api.session();
    const path = pathOf(session);
    const post = async (content: string) =>
      (await idle.api.post(`${path}/messages`, { content, background: true })).body;
    const [first, second] = [await post('one'), await post('two')];
    const { status, body } = await interrupt(session, idle.api);
    expect(status).toBe(200);
    expect(body.message).toMatchObject({ id: first.id, status: 'interrupted', content: '' });
    expect((await idle.api.get(`${path}/messages/${first.id}`)).body).toEqual(body.message);
    expect((await idle.api.get(`${path}/messages/${second.id}`)).body.status).toBe('queued');
  });
});

test('an interrupt between acceptance and the first workflow task reaches its turn', async () => {
  for (let round = 0; round < 5; round += 1) {
    const session = await server.api.session();
    const path = `${pathOf(session)}/messages`;
    const accepted = await server.api.post(path, { content: SILENT_FOR_A_MINUTE, background: true });
    const { body } = await interrupt(session);
    expect(body.message).toMatchObject({ id: accepted.body.id, status: 'interrupted' });
    expect((await server.api.send(session.id, 'go on')).status).toBe('completed');
  }
});

test('at the moment of completion a reply is either completed or interrupted, and has one end', async () => {
  const ends = [];
  for (let round = 0; round < 12; round += 1) {
    const session = await server.api.session();
    const frames: any[] = [];
    let interrupted: Promise<any> | undefined;
    for await (const frame of server.api.stream(session.id, 'short [[tokens=3]]')) {
      frames.push(frame);
      interrupted ??= interrupt(session);
    }
    const { message } = last(frames).data;
    const { body } = await (interrupted as Promise<any>);
    expect(body.message === null ? 'completed' : 'interrupted').toBe(message.status);
    const types = (await server.api.events(session.id)).map((event) => event.type);
    expect(types.filter((type) => /^message\.(completed|interrupted)$/.test(type))).toHaveLength(1);
    expect(last(await messagesOf(session))).toEqual(message);
    expect((await server.api.send(session.id, 'go on')).status).toBe('completed');
    ends.push(message.status);
  }
  expect(ends).toHaveLength(12);
});

test('an interrupt a second time, or of a reply that is over, changes nothing', async () => {
  const { session, answer } = await turnAt(SILENT_FOR_A_MINUTE, whenBegun);
  const both = await Promise.all([interrupt(session), interrupt(session)]);
  expect(both.map(({ body }) => body.message?.status ?? null).sort()).toEqual(['interrupted', null]);
  const before = await server.api.events(session.id);
  expect((await interrupt(session)).body).toEqual({ interrupted: true, message: null });
  expect(await server.api.events(session.id)).toEqual(before);
  expect((await answer).status).toBe('interrupted');
});

test('a message with on_busy interrupt that is sent again with its key interrupts nothing more', async () => {
  const { session, answer } = await turnAt(SILENT_FOR_A_MINUTE, whenBegun);
  const post = () =>
    server.api.post(
      `${pathOf(session)}/messages`,
      { content: `wait ${MINUTES_OF_WORDS}`, on_busy: 'interrupt', background: true },
      { 'Idempotency-Key': 'interrupts once' },
    );
  const first = await post();
  expect((await answer).status).toBe('interrupted');
  await whenSpeaking(session);
  const again = await post();
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect(again.body).toMatchObject({ id: first.body.id, status: 'in_progress' });
  await interrupt(session);
});

test('a session that ends while it is interrupted has ended, and its reply has one end', async () => {
  const { session, answer } = await turnAt(SILENT_FOR_A_MINUTE, whenBegun);
  const [interrupted, completed] = await Promise.all([
    interrupt(session),
    server.api.post(`${pathOf(session)}/complete`),
  ]);
  expect(completed.body.status).toBe('completed');
  expect([200, 404]).toContain(interrupted.status);
  expect((await answer).status).toBe('interrupted');
  const types = (await server.api.events(session.id)).map((event) => event.type);
  expect(types.filter((type) => type === 'message.interrupted')).toHaveLength(1);
  expect((await interrupt(session)).body.error.code).toBe('session_ended');
});

test('a message with on_busy steer is the next turn when no further step of the running one comes', async () => {
  const { session, answer } = await turnAt('[[delay_ms=500]]', whenBegun);
  const next = await server.api.send(session.id, 'and this', { on_busy: 'steer' });
  expect(await answer).toMatchObject({ status: 'completed', stop_reason: 'end_turn' });
  expect(next).toMatchObject({ status: 'completed', content: '[simulated] and this' });
});
