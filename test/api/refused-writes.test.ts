// A store that refuses what a turn writes, for whatever the content holds: bounded, said in plain words, and over with the turn.
import Database from 'better-sqlite3';
import type { Model, ModelBlock } from '../../src/models/port.ts';
import { eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { failureOf, replyOf } from '../support/store.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

/** What the store refuses, wherever it is told to. */
const MARK = 'UNSTORABLE';

let calls = 0;
let blocksOf: () => ModelBlock[] = () => [];
/** The answer is over when this is. */
let held: Promise<void> = Promise.resolve();
const model: Model = {
  async stream(_request, { onText }) {
    calls += 1;
    const blocks = blocksOf();
    for (const { type, text } of blocks) if (type === 'text') onText(String(text));
    await held;
    return { ...replyOf('', { inputTokens: 5, outputTokens: 2 }), blocks };
  },
};

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem({ model });
});
afterAll(() => system.stop());
beforeEach(() => {
  calls = 0;
});
/** Runs work on the database between two transactions of the system, which shares this thread. */
const inDatabase = (work: (database: Database.Database) => void): Promise<unknown> =>
  eventually(
    async () => {
      const database = new Database(databaseFileIn(system.directory), { timeout: 0 });
      try {
        work(database);
        return true;
      } catch (error) {
        if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error;
        return false;
      } finally {
        database.close();
      }
    },
    (isDone) => isDone,
  );

afterEach(() =>
  inDatabase((database) => {
    const triggers = database.prepare("select name from sqlite_master where type = 'trigger'").all();
    for (const { name } of triggers as { name: string }[]) database.exec(`drop trigger ${name}`);
  }),
);

/** From now on the table refuses rows whose column holds the mark. */
const refuseIn = (table: string, column: string, kind: 'insert' | 'update' = 'insert') =>
  inDatabase((database) =>
    database.exec(
      `create trigger refuse_${table}_${kind} before ${kind} on ${table} when new.${column} like '%${MARK}%'
       begin select raise(abort, 'CHECK constraint: SECRET_SQL'); end`,
    ),
  );

const text = (words: string): ModelBlock => ({ type: 'text', text: words });
const session = async (fields: Record<string, unknown> = {}): Promise<string> =>
  (await system.api.session(fields)).id;
const TRIES_MS_MAX = 60_000;

/** The session's next message has its turn as ever. */
async function expectUsable(id: string): Promise<void> {
  blocksOf = () => [text('Fine.')];
  expect(await system.api.send(id, 'Go on')).toMatchObject({ status: 'completed', content: 'Fine.' });
}

async function expectBounded(id: string, callsMax = 3): Promise<any> {
  const reply = await system.api.send(id, 'Hello');
  expect(reply).toMatchObject({ status: 'failed', error: { code: 'internal_error' } });
  expect(reply.error.message).toMatch(/activity \w+ of sess_|could not be stored/);
  expect(calls).toBeLessThanOrEqual(callsMax);
  const events = await system.api.events(id);
  expect(JSON.stringify([reply, events])).not.toMatch(/SECRET_SQL|CHECK/);
  const asked = calls;
  await expectUsable(id);
  expect(calls).toBe(asked + 1);
  return reply;
}

describe('an answer that the store refuses', () => {
  it.each<[string, string, 'insert' | 'update', string]>([
    ['as a step', 'steps', 'insert', 'blocks'],
    ['as a message', 'messages', 'update', 'text'],
    ['as an event', 'events', 'insert', 'data'],
  ])(
    '%s: at most three calls of the model, and the session goes on',
    async (_name, table, kind, column) => {
      const id = await session();
      await refuseIn(table, column, kind);
      blocksOf = () => [text(`Half ${MARK}`)];
      const reply = await expectBounded(id);
      expect(reply.content).not.toContain(MARK);
      expect(reply.usage).toMatchObject({ input_tokens: 15, output_tokens: 6 });
    },
    TRIES_MS_MAX,
  );

  it(
    'for its calls of tools: none is offered',
    async () => {
      const id = await session({
        tools: [{ name: 'look_up', description: 'd', parameters: { type: 'object' } }],
      });
      await refuseIn('tool_calls', 'parameters');
      blocksOf = () => [{ type: 'tool_use', id: 'toolu_1', name: 'look_up', input: { key: MARK } }];
      expect((await expectBounded(id)).tool_calls).toEqual([]);
    },
    TRIES_MS_MAX,
  );

  it(
    'together with every failure that is to be counted: one call of the model',
    async () => {
      const id = await session();
      await refuseIn('steps', 'blocks');
      await inDatabase((database) =>
        database.exec(
          `create trigger refuse_count before insert on model_calls
           when new.outcome = 'failed' and new.error_code = 'internal_error'
           begin select raise(abort, 'SECRET_SQL'); end`,
        ),
      );
      blocksOf = () => [text(MARK)];
      await expectBounded(id, 1);
    },
    TRIES_MS_MAX,
  );
});

it(
  'while it is tried again, the state shows a code and the activity, and no inner text',
  async () => {
    const id = await session();
    await refuseIn('steps', 'blocks');
    blocksOf = () => [text(MARK)];
    await system.api.send(id, 'Hello', { background: true });
    const { body } = await eventually(
      () => system.api.get(`/v1/sessions/${id}/state`),
      (answer) => answer.body.activity?.last_failure != null,
    );
    expect(body.activity.last_failure).toMatch(
      /^internal_error: .*\(activity \w+ of sess_\w+\) \(failed try \d of 3\)$/,
    );
    await eventually(
      () => system.api.get(`/v1/sessions/${id}/messages`),
      (answer) => answer.body.data.some(({ status }: { status: string }) => status === 'failed'),
      TRIES_MS_MAX,
    );
    await expectUsable(id);
  },
  TRIES_MS_MAX,
);

it('a failure of the provider whose words the store refuses ends the reply in plain ones', async () => {
  const id = await session();
  await refuseIn('messages', 'error', 'update');
  blocksOf = () => {
    const failure = failureOf({ retryable: false });
    failure.message = MARK;
    throw failure;
  };
  expect(await system.api.send(id, 'Hello')).toMatchObject({
    ...{
      status: 'failed',
      error: { code: 'model_overloaded', message: expect.stringContaining('could not be stored') },
    },
  });
  await expectUsable(id);
});

it('an interrupt ends a reply whose text the store refuses', async () => {
  const id = await session();
  await refuseIn('messages', 'text', 'update');
  await refuseIn('steps', 'blocks');
  blocksOf = () => [text(MARK)];
  await system.api.send(id, 'Hello', { background: true });
  await eventually(
    async () => calls,
    (count) => count > 0,
  );
  await system.api.post(`/v1/sessions/${id}/interrupt`);
  await expectUsable(id);
});

describe('a reply whose text the store refuses is over when a client', () => {
  it.each<[string, (id: string) => Promise<{ status: number }>, number]>([
    ['completes its session', (id) => system.api.post(`/v1/sessions/${id}/complete`), 200],
    ['archives its session', (id) => system.api.post(`/v1/sessions/${id}/archive`), 200],
    ['deletes its session', (id) => system.api.delete(`/v1/sessions/${id}`), 200],
    ['interrupts it', (id) => system.api.post(`/v1/sessions/${id}/interrupt`), 200],
    [
      'sends a message that interrupts it',
      (id) =>
        system.api.post(`/v1/sessions/${id}/messages`, {
          ...{ content: 'Stop', on_busy: 'interrupt', background: true },
        }),
      202,
    ],
  ])('%s', async (_name, end, expected) => {
    const id = await session();
    await refuseIn('messages', 'text', 'update');
    let release = () => {};
    held = new Promise((resolve) => (release = resolve));
    blocksOf = () => [text(MARK)];
    await system.api.send(id, 'Hello', { background: true });
    await eventually(
      () => system.api.events(id),
      (events) => events.some(({ type }) => type === 'message.delta'),
    );
    blocksOf = () => [text('Fine.')];
    try {
      expect((await end(id)).status).toBe(expected);
    } finally {
      release();
    }
  });
});
