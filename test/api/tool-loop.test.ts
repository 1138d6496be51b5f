// The loop of a turn that calls tools, against a model whose every answer is the test's: what it may not call, what it calls
// wrongly, tools that change under it, and a model that never stops. Acceptance test 74, for custom and built-in tools.
import Database from 'better-sqlite3';
import type { Model, ModelBlock, ModelRequest } from '../../src/models/port.ts';
import { RUN_BOUNDS } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { isLong } from '../support/long.ts';
import { replyOf } from '../support/store.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

/** In the long form the product's own bound; in the short form there are seams as well. */
const TURNS_PER_RUN = isLong ? RUN_BOUNDS.turnsPerRunMax : 25;
const STEPS = isLong ? 500 : 60;
const STEPS_MAX = 1_000;

type Answer = (request: ModelRequest) => ModelBlock[];

let asked: ModelRequest[] = [];
let answer: Answer = () => [];
const model: Model = {
  async stream(request, { onText }) {
    asked.push(request);
    const blocks = answer(request);
    for (const { type, text } of blocks) if (type === 'text') onText(String(text));
    const stopReason = blocks.some(({ type }) => type === 'tool_use') ? 'tool_use' : 'end_turn';
    return { ...replyOf(''), blocks, stopReason };
  },
};

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem({ model, runBounds: { turnsPerRunMax: TURNS_PER_RUN } });
});
afterAll(() => system.stop());
beforeEach(() => {
  asked = [];
});

let count = 0;
const text = (words: string): ModelBlock => ({ type: 'text', text: words });
function call(name: string, input: unknown = {}, more: object = {}): ModelBlock {
  count += 1;
  return { type: 'tool_use', id: `toolu_${count}`, name, input, ...more };
}

/** The blocks of each step in turn; when they are used up the model says that it is done. */
function says(...steps: ModelBlock[][]): void {
  const left = [...steps];
  answer = () => left.shift() ?? [text('Done.')];
}

const LOOK_UP = {
  name: 'look_up',
  description: 'Looks something up',
  parameters: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
};
const OTHER = { ...LOOK_UP, name: 'other' };

const session = async (tools: unknown[]): Promise<string> => (await system.api.session({ tools })).id;
const post = (id: string, path: string, body?: unknown) =>
  system.api.post(`/v1/sessions/${id}/${path}`, body);
const remove = (id: string, tool: string) => system.api.call('DELETE', `/v1/sessions/${id}/tools/${tool}`);
const submit = async (id: string, call: string, result: unknown) =>
  (await post(id, 'tool-results', { tool_call_id: call, result, wait: true })).body;

/** What the model was told of its calls in its last question. */
const toldLast = () => asked.at(-1)?.messages.at(-1)?.content ?? [];

async function expectUntouched(id: string): Promise<void> {
  const types = (await system.api.events(id)).map(({ type }) => type);
  expect(types).not.toContain('message.requires_action');
  says();
  expect(await system.api.send(id, 'Go on')).toMatchObject({ status: 'completed', content: 'Done.' });
}

describe('test 74: a call that may not be made is refused, told to the model and never executed', () => {
  it.each<[string, unknown[], () => ModelBlock, RegExp]>([
    ['of a tool that is registered nowhere', [LOOK_UP], () => call('rm_rf'), /no tool 'rm_rf'.*look_up/],
    ['when there are no tools', [], () => call('look_up'), /no tool 'look_up'.*none at all/],
    [
      'of a built-in tool that is not switched on',
      [LOOK_UP],
      () => call('calculator', { expression: '1+1' }),
      /no tool 'calculator'/,
    ],
    [
      'of a built-in tool that cannot run here',
      ['code_interpreter'],
      () => call('code_interpreter', { code: '1' }),
      /no tool 'code_interpreter'/,
    ],
    ['with a name of no tool at all', [LOOK_UP], () => call('__proto__'), /no tool '__proto__'/],
    ['without what the schema requires', [LOOK_UP], () => call('look_up', {}), /does not fit.*key/],
    ['with a value of another type', [LOOK_UP], () => call('look_up', { key: 7 }), /does not fit.*key/],
    [
      'of the calculator with other fields',
      ['calculator'],
      () => call('calculator', { code: '1+1' }),
      /does not fit/,
    ],
    [
      'of the calculator with too long an input',
      ['calculator'],
      () => call('calculator', { expression: '1'.repeat(2_001) }),
      /does not fit/,
    ],
    [
      'with an input that is no object',
      [LOOK_UP],
      () => call('look_up', {}, { input: { invalid_input_json: '[1' } }),
      /not a JSON object|does not fit/,
    ],
  ])('%s', async (_name, tools, make, words) => {
    const id = await session(tools);
    const made = make();
    says([made]);
    const reply = await system.api.send(id, 'Do it');
    expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(reply.tool_calls).toMatchObject([{ name: made.name, status: 'failed', is_error: true }]);
    expect(reply.tool_calls[0].result).toMatch(words);
    expect(toldLast()).toEqual([
      {
        type: 'tool_result',
        tool_use_id: reply.tool_calls[0].id,
        content: reply.tool_calls[0].result,
        is_error: true,
      },
    ]);
    await expectUntouched(id);
  });

  it('of a tool that another session has', async () => {
    await session([OTHER]);
    const id = await session([LOOK_UP]);
    says([call('other', { key: 'a' })]);
    const reply = await system.api.send(id, 'Do it');
    expect(reply.tool_calls[0]).toMatchObject({ status: 'failed', result: expect.stringMatching(/no tool/) });
    expect(asked[0]?.tools.map(({ name }) => name)).toEqual(['look_up']);
    await expectUntouched(id);
  });

  it('beside one that may: that one is run', async () => {
    const id = await session([LOOK_UP]);
    says([call('rm_rf'), call('look_up', { key: 'a' })]);
    const paused = await system.api.send(id, 'Do it');
    const [refused, open] = paused.tool_calls;
    expect(paused.waiting_for).toEqual([open.id]);
    expect(refused).toMatchObject({ status: 'failed' });
    expect(await post(id, 'tool-results', { tool_call_id: refused.id, result: 'x' })).toMatchObject({
      status: 409,
      body: { error: { code: 'tool_call_closed' } },
    });
    expect(await submit(id, open.id, 'found')).toMatchObject({ status: 'completed' });
    expect(toldLast()).toMatchObject([{ is_error: true }, { content: 'found' }]);
  });

  it('after its turn was interrupted', async () => {
    const id = await session(['calculator', LOOK_UP]);
    says([call('look_up', { key: 'a' })]);
    const paused = await system.api.send(id, 'Do it');
    await post(id, 'interrupt');
    expect((await post(id, 'tool-results', { tool_call_id: paused.waiting_for[0], result: 1 })).status).toBe(
      409,
    );
    expect(asked).toHaveLength(1);
    says();
    expect(await system.api.send(id, 'Go on')).toMatchObject({ status: 'completed' });
    // It goes on from the interrupted turn, and knows that this call has come to nothing.
    const results = asked.at(-1)?.messages.flatMap(({ content }) => content) ?? [];
    expect(results.filter(({ type }) => type === 'tool_result')).toMatchObject([
      { is_error: true, content: expect.stringMatching(/interrupted/) },
    ]);
  });

  it('beside others: they are listed in the order in which the model made them', async () => {
    const id = await session([LOOK_UP]);
    says(['a', 'b', 'c', 'd', 'e'].map((key) => call('look_up', { key })));
    await system.api.send(id, 'Look all of them up');
    const listed: string[] = [];
    const path = `/v1/sessions/${id}/tool-calls?limit=2`;
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await system.api.get(cursor === '' ? path : `${path}&cursor=${cursor}`);
      listed.push(...body.data.map(({ parameters }: { parameters: { key: string } }) => parameters.key));
      cursor = body.next_cursor;
    }
    expect(listed).toEqual(['e', 'd', 'c', 'b', 'a']);
  });

  it('beyond 64 in one step', async () => {
    const id = await session([LOOK_UP]);
    says(Array.from({ length: 66 }, (_, n) => call('look_up', { key: `${n}` })));
    const paused = await system.api.send(id, 'Do it');
    expect(paused.waiting_for).toHaveLength(64);
    expect(paused.tool_calls.slice(64)).toMatchObject([
      { status: 'failed', result: expect.stringMatching(/At most 64/) },
      { status: 'failed' },
    ]);
    await post(id, 'interrupt');
  });
});

describe('tools that change while a turn waits', () => {
  it('keep the calls that are open, and are refused from the next step on when they are gone', async () => {
    const id = await session([LOOK_UP, OTHER]);
    says([call('look_up', { key: 'a' })], [call('look_up', { key: 'b' })]);
    const paused = await system.api.send(id, 'Do it');
    expect((await remove(id, 'look_up')).status).toBe(200);
    const reply = await submit(id, paused.waiting_for[0], 'found');
    expect(reply).toMatchObject({
      status: 'completed',
      tool_calls: [{ result: 'found' }, { status: 'failed' }],
    });
    expect(reply.tool_calls[1].result).toMatch(/no tool 'look_up'.*other/);
    expect(asked.map(({ tools }) => tools.map(({ name }) => name))).toEqual([
      ['look_up', 'other'],
      ['other'],
      ['other'],
    ]);
    await system.api.send(id, 'Go on');
  });

  it('are known to the next step as they were defined anew', async () => {
    const id = await session([LOOK_UP]);
    says([call('look_up', { key: 'a' })], [call('look_up', { key: 'b' })], [call('look_up', { id: 3 })]);
    const paused = await system.api.send(id, 'Do it');
    const parameters = { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] };
    expect((await post(id, 'tools', { ...LOOK_UP, parameters, timeout_seconds: 60 })).status).toBe(200);
    expect(paused.tool_calls).toMatchObject([{ expires_at: null }]);
    const again = await submit(id, paused.waiting_for[0], 'found');
    expect(again).toMatchObject({ status: 'requires_action' });
    expect(again.tool_calls).toMatchObject([
      { status: 'completed', parameters: { key: 'a' } },
      { status: 'failed', result: expect.stringMatching(/does not fit.*id/) },
      { status: 'awaiting_result', parameters: { id: 3 }, expires_at: expect.any(String) },
    ]);
    expect(asked[1]?.tools).toMatchObject([{ inputSchema: parameters }]);
    expect(await submit(id, again.waiting_for[0], 'found')).toMatchObject({ status: 'completed' });
  });

  it('stay as they are when the settings are changed for the next turn, but for those added and removed one by one', async () => {
    const id = await session([LOOK_UP]);
    const patch = (body: unknown) => system.api.patch(`/v1/sessions/${id}`, body);
    await patch({ system_prompt: 'Before', max_tokens: 1_000 });
    says([call('look_up', { key: 'a' })], [call('look_up', { key: 'b' })]);
    const [first] = (await system.api.send(id, 'Look it up')).waiting_for;
    await patch({ system_prompt: 'Between', tools: [] });
    await patch({ system_prompt: 'After', max_tokens: 2_000, tools: ['calculator'] });
    const { waiting_for } = (await submit(id, first, 'one')) as { waiting_for: string[] };
    await post(id, 'tools', OTHER);
    expect((await submit(id, waiting_for[0]!, 'two')).status).toBe('completed');
    await system.api.send(id, 'And now?');
    const settings = asked.map(({ system: prompt, maxTokens, tools }) => [
      ...[prompt, maxTokens],
      ...tools.map(({ name }) => name),
    ]);
    expect(settings).toEqual([
      ['Before', 1_000, 'look_up'],
      ['Before', 1_000, 'look_up'],
      ['Before', 1_000, 'look_up', 'other'],
      ['After', 2_000, 'calculator', 'other'],
    ]);
    const database = new Database(databaseFileIn(system.directory), { readonly: true });
    const kept = database.prepare('select turn_settings from sessions where id = ?').pluck().get(id);
    database.close();
    expect(kept).toBeNull();
  });

  it('may be added in the middle of a turn', async () => {
    const id = await session([LOOK_UP]);
    says([call('look_up', { key: 'a' })], [call('calculator', { expression: '6*7' })]);
    const paused = await system.api.send(id, 'Do it');
    expect((await post(id, 'tools', { name: 'calculator' })).status).toBe(201);
    const reply = await submit(id, paused.waiting_for[0], 'found');
    expect(reply).toMatchObject({ status: 'completed', tool_calls: [{ result: 'found' }, { result: '42' }] });
  });
});

/** Whichever step it is, the model calls once more. */
const forEver: Answer = ({ messages }) => [call('calculator', { expression: `${messages.length}+0` })];

it(
  `a turn of ${STEPS} steps, over several runs of its workflow, ends as any other`,
  async () => {
    const id = await session(['calculator', LOOK_UP]);
    let step = 0;
    answer = () => {
      step += 1;
      if (step > STEPS) return [text('Done.')];
      // Now and then one for the client, so that a run may end in a wait as well.
      return step % 20 === 10
        ? [call('look_up', { key: `${step}` })]
        : [call('calculator', { expression: `${step} * 2` })];
    };
    const { body: accepted } = await post(id, 'messages', { content: 'Work', background: true });
    const path = `/v1/sessions/${id}/messages/${accepted.id}`;
    let reply: any;
    do {
      const over = ['requires_action', 'completed', 'failed'];
      reply = (
        await eventually(
          () => system.api.get(path),
          ({ body }) => over.includes(body.status),
          300_000,
        )
      ).body;
      for (const open of reply.waiting_for)
        await post(id, 'tool-results', { tool_call_id: open, result: open });
    } while (reply.status === 'requires_action');

    expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(asked).toHaveLength(STEPS + 1);
    expect(reply.tool_calls).toHaveLength(STEPS);
    for (const [index, made] of reply.tool_calls.entries()) {
      const isClients = (index + 1) % 20 === 10;
      expect([made.status, made.result]).toEqual(['completed', isClients ? made.id : `${(index + 1) * 2}`]);
    }
    const events = await system.api.events(id);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.filter(({ type }) => type === 'tool.completed')).toHaveLength(STEPS);
    says();
    expect(await system.api.send(id, 'And now?')).toMatchObject({ status: 'completed', content: 'Done.' });
  },
  isLong ? 600_000 : 90_000,
);

/** As if the model had called so many times before: only its last steps take time. */
function fastForward(replyId: string, step: number): void {
  const database = new Database(databaseFileIn(system.directory));
  const columns = 'reply_id, session_id, blocks, stop_reason, completed_at';
  const numbers = 'with recursive numbers(n) as (select 2 union all select n + 1 from numbers where n < ?)';
  database
    .prepare(
      `${numbers} insert into steps (n, ${columns}) select numbers.n, ${columns} from numbers, steps where reply_id = ? and steps.n = 1`,
    )
    .run(step, replyId);
  database.close();
}

it('a model that calls for ever is stopped at the limit, which is told, and nothing is executed beyond it', async () => {
  const id = await session(['calculator', LOOK_UP]);
  says([call('look_up', { key: 'a' })]);
  const paused = await system.api.send(id, 'Work for ever');
  fastForward(paused.id, STEPS_MAX - 2);
  answer = forEver;
  const reply = await submit(id, paused.waiting_for[0], 'found');
  expect(reply).toMatchObject({
    status: 'failed',
    error: { code: 'tool_limit', message: expect.stringMatching(/1000 times/) },
  });
  // The first one, and those of the steps 999 and 1,000.
  expect(asked).toHaveLength(3);
  expect(reply.tool_calls).toMatchObject([
    { result: 'found' },
    { status: 'completed' },
    { status: 'completed' },
  ]);
  const events = await system.api.events(id);
  expect(events.filter(({ type }) => type === 'tool.called')).toHaveLength(3);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  says();
  expect(await system.api.send(id, 'And now?')).toMatchObject({ status: 'completed', content: 'Done.' });
});
