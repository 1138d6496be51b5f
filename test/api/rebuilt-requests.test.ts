// What goes back to a provider that sends odd ids, names and blocks: over HTTP, against a provider that refuses what the
// Messages API refuses.
import Database from 'better-sqlite3';
import { closeAll, openStream, serve, textBlock, whole } from '../models/support.ts';
import { eventually } from '../support/api-client.ts';
import { databaseFileIn } from '../support/files.ts';
import { type Block, type Message, refusalOf } from '../support/messages-rules.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';
import { calls, resultsOf, thinkingCall, thoughtsOf, use, usesOf } from './scripted-answers.ts';

/** The wire of each answer in turn; when they are used up the provider says that it is done. */
let script: string[] = [];
let asked: { messages: Message[]; thinking?: Block; tools?: Block[] }[] = [];
/** A further reason of the test's own to refuse a request. */
let refuse: (messages: Message[]) => Block | null = () => null;

let system: TestSystem;
beforeAll(async () => {
  const raw = await serve((response, count) => {
    const body = raw.server.requests[count - 1]?.body as unknown as { messages: Message[] };
    asked.push(body);
    const message = refusalOf(body.messages);
    const error = message === null ? refuse(body.messages) : { type: 'invalid_request_error', message };
    if (error) {
      response.writeHead(Number(error.status ?? 400), {
        'content-type': 'application/json',
        ...error.headers,
      });
      return void response.end(JSON.stringify({ type: 'error', error }));
    }
    openStream(response).end(script.shift() ?? whole(textBlock(0, 'Done.')));
  });
  system = await startTestSystem({ model: raw.model });
});
afterAll(async () => {
  await system.stop();
  await closeAll();
});
beforeEach(() => {
  script = [];
  asked = [];
  refuse = () => null;
});

const LOOK_UP = {
  name: 'look_up',
  description: 'Looks something up',
  parameters: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
};
const session = async (fields: object = {}): Promise<string> =>
  (await system.api.session({ tools: [LOOK_UP], ...fields })).id;

/** Sends a message and gives every call its result. */
async function turn(
  id: string,
  content: string,
  results: (call: Block) => object = () => ({ result: 'ok' }),
) {
  let reply = await system.api.send(id, content);
  while (reply.status === 'requires_action') {
    const open = reply.tool_calls.filter((call: Block) => reply.waiting_for.includes(call.id));
    for (const call of open) {
      const body = { tool_call_id: call.id, wait: call === open.at(-1), ...results(call) };
      const { body: answer } = await system.api.post(`/v1/sessions/${id}/tool-results`, body);
      reply = answer;
    }
  }
  return reply;
}

describe('ids of calls, whatever the provider names them', () => {
  it.each<[string, unknown[]]>([
    ['one id twice', ['toolu_1', 'toolu_1']],
    ['a colon and a dot', ['functions.look_up:0', 'functions.look_up:1']],
    ['empty', ['', '']],
    ['missing', [undefined, undefined]],
    ['a number', [7, 7]],
    ['half a surrogate', ['\ud800', '\ud800']],
    ['two thousand characters', ['x'.repeat(2_000), 'ö']],
  ])('%s: the turn and the next one go on', async (_name, ids) => {
    const id = await session();
    const wire = () => calls(...ids.map((each, index) => use(each, 'look_up', { key: `k${index}` })));
    script = [wire(), wire()];
    const reply = await turn(id, 'Do it', (call) => ({ result: `for ${call.parameters.key}` }));
    expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
    const own = reply.tool_calls.map((call: Block) => call.id);
    expect(new Set(own).size).toBe(4);
    const shown = reply.content_blocks.filter(({ type }: Block) => type === 'tool_call');
    expect(shown.map(({ tool_call_id }: Block) => tool_call_id)).toEqual(own);

    script = [wire()];
    expect(await turn(id, 'Once more')).toMatchObject({ status: 'completed', content: 'Done.' });
    const { messages } = asked.at(-1)!;
    expect(usesOf(messages).map((each) => each.input.key)).toEqual(['k0', 'k1', 'k0', 'k1', 'k0', 'k1']);
    expect(
      resultsOf(messages)
        .map(({ content }) => content)
        .slice(0, 4),
    ).toEqual([...['for k0', 'for k1', 'for k0', 'for k1']]);
    expect(asked.every(({ messages: each }) => refusalOf(each) === null)).toBe(true);
  });

  it('sends the same bytes for what was sent before, step after step and turn after turn', async () => {
    const id = await session();
    script = [calls(use('a'), use('a')), calls(use('a'))];
    await turn(id, 'Do it');
    await turn(id, 'And again');
    const texts = asked.map(({ messages }) =>
      messages.map((each) =>
        JSON.stringify(each, (key, value) => (key === 'cache_control' ? undefined : value)),
      ),
    );
    for (const [index, text] of texts.slice(0, -1).entries())
      expect(texts[index + 1]?.slice(0, text.length)).toEqual(text);
  });

  it('of sessions that earlier versions stored: nothing in the database is changed', async () => {
    const id = await session();
    script = [calls(use('x'), use('x'))];
    await turn(id, 'Do it');
    const database = new Database(databaseFileIn(system.directory), { timeout: 0 });
    const update = database.prepare(
      "update tool_calls set provider_id = 'functions.a:0' where session_id = ?",
    );
    // The system may hold the write lock, and needs this very event loop to release it.
    const changed = async () => update.run(id).changes;
    await eventually(
      () => changed().catch(() => 0),
      (rows) => rows > 0,
    );
    database.close();
    await system.restart();
    expect(await turn(id, 'Go on')).toMatchObject({ status: 'completed', content: 'Done.' });
  });

  it('of tools that the provider runs itself stay as they are', async () => {
    const id = await session();
    const search = { type: 'server_tool_use', id: 'srvtoolu_01', name: 'web_search', input: { query: 'q' } };
    const found = { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_01', content: [] };
    const lost = { ...search, id: 'srvtoolu_02' };
    script = [calls(search, found, lost, use('toolu_1'))];
    await turn(id, 'Do it');
    await turn(id, 'Go on');
    const blocks = asked.at(-1)!.messages.flatMap(({ content }) => content);
    expect(blocks.filter(({ type }) => /server_tool_use|web_search/.test(type))).toEqual([search, found]);
  });
});

describe('ids that a gateway gives its own tools', () => {
  const search = (id: string, query: string) => [
    { type: 'server_tool_use', id, name: 'web_search', input: { query } },
    { type: 'web_search_tool_result', tool_use_id: id, content: [{ query }] },
  ];
  const searches = () =>
    asked.at(-1)!.messages.flatMap(({ content }) => content.filter(({ type }) => /server|web/.test(type)));

  it('again in a later step and a later turn: the latest pair goes out, and nothing is refused', async () => {
    const id = await session();
    script = [
      calls(...search('srvtoolu_1', 'a'), use('x')),
      calls(...search('srvtoolu_1', 'b'), ...search('srvtoolu_2', 'c'), use('y')),
      calls(...search('srvtoolu_2', 'd')),
      calls(...search('srvtoolu_2', 'e'), use('z')),
    ];
    await turn(id, 'Do it');
    await turn(id, 'Go on');
    expect(asked).toHaveLength(5);
    expect(searches()).toEqual([...search('srvtoolu_1', 'b'), ...search('srvtoolu_2', 'e')]);
    expect(asked.every(({ messages }) => refusalOf(messages) === null)).toBe(true);
  });

  it('in letters that the API refuses: the search is left out', async () => {
    const id = await session();
    script = [calls(...search('srv-1', 'a'), ...search('srvtoolu_1.2', 'b'), use('x'))];
    await turn(id, 'Do it');
    expect(asked).toHaveLength(2);
    expect(searches()).toEqual([]);
  });
});

describe('turns that end before their calls have results', () => {
  it('an interrupted one is shown with a result for each call', async () => {
    const id = await session();
    script = [calls(use('a'), use('a'))];
    await system.api.send(id, 'Do it');
    await system.api.post(`/v1/sessions/${id}/interrupt`);
    expect(await turn(id, 'Go on')).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(resultsOf(asked.at(-1)!.messages)).toMatchObject([{ is_error: true }, { is_error: true }]);
  });
});

describe('calls whose tools were all removed since', () => {
  it('go out with a placeholder, which Bedrock and LiteLLM ask for, and a call is still answered', async () => {
    const id = await session();
    script = [calls(use('a')), calls(use('b'))];
    const { tool_calls } = await system.api.send(id, 'Do it');
    expect((await system.api.delete(`/v1/sessions/${id}/tools/look_up`)).status).toBe(200);
    const body = { tool_call_id: tool_calls[0].id, result: 'ok', wait: true };
    const { body: reply } = await system.api.post(`/v1/sessions/${id}/tool-results`, body);
    expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(reply.tool_calls[1]).toMatchObject({ status: 'failed', is_error: true });
    const [placeholder, ...others] = asked[1]!.tools ?? [];
    expect(placeholder).toMatchObject({ name: 'no_tool_available', input_schema: { type: 'object' } });
    expect(others).toEqual([]);
    await turn(id, 'And now?');
    expect(asked.at(-1)!.tools).toHaveLength(1);
  });

  it('are no reason for a tool in a session that never had any', async () => {
    const id = await session({ tools: [] });
    await turn(id, 'Hello');
    await turn(id, 'And now?');
    expect(asked.at(-1)!.tools).toBeUndefined();
  });
});

describe('names of tools that no request may hold', () => {
  it.each<[string, unknown]>([
    ['300 characters', 'x'.repeat(300)],
    ['empty', ''],
    ['missing', null],
    ['dots, spaces and letters of other scripts', 'functions.get order ö\ud800'],
    ['no text', { a: 1 }],
  ])('%s: an error result that names the tools, and the model goes on', async (_name, name) => {
    const id = await session();
    script = [calls(use('toolu_1', name)), calls(use('toolu_2'))];
    const reply = await turn(id, 'Do it');
    expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(reply.tool_calls).toMatchObject([{ status: 'failed', is_error: true }, { status: 'completed' }]);
    expect(resultsOf(asked[1]!.messages)[0]).toMatchObject({
      ...{ is_error: true, content: expect.stringContaining('look_up') },
    });
    expect(await turn(id, 'Go on')).toMatchObject({ status: 'completed' });
  });
});

describe('results that say nothing', () => {
  it.each<[string, object, string]>([
    ['an empty error', { result: '', is_error: true }, '(the tool failed and gave no reason)'],
    ['a blank error', { result: ' \n\t', is_error: true }, '(the tool failed and gave no reason)'],
    ['an error of null', { result: null, is_error: true }, 'null'],
    ['an empty list that is an error', { result: [], is_error: true }, '[]'],
    ['an empty result', { result: '' }, '(no output)'],
    ['a blank result', { result: '  ' }, '(no output)'],
    ['an empty object', { result: {} }, '{}'],
  ])('%s: the model gets words, the stored result stays', async (_name, body, words) => {
    const id = await session();
    script = [calls(use('toolu_1'))];
    const reply = await turn(id, 'Do it', () => body);
    expect(reply).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(reply.tool_calls[0].result).toEqual((body as Block).result);
    expect(resultsOf(asked.at(-1)!.messages)[0]?.content).toBe(words);
  });
});

describe('thoughts', () => {
  const thinking = { type: 'enabled', budget_tokens: 1_024 };

  it.each([
    'messages.1.content.0: Invalid `signature` in `thinking` block',
    'The reasoning content could not be verified',
    'unexpected block of type redacted_thinking',
    'Bad Request',
  ])('refused with "%s" are left out, at the price of one refusal a turn', async (message) => {
    const id = await session({ thinking });
    script = [thinkingCall(), thinkingCall(), thinkingCall()];
    let refused: unknown;
    refuse = (messages) => {
      refused ??= thoughtsOf(messages)[0]?.signature;
      const isRefused = thoughtsOf(messages).some(({ signature }) => signature === refused);
      return isRefused ? { type: 'invalid_request_error', message } : null;
    };
    expect(await turn(id, 'Do it')).toMatchObject({ status: 'completed', content: 'Done.' });
    // Four answers, and the one refusal.
    expect(asked).toHaveLength(5);
    // A turn that does not begin with a thought goes on without thinking, as the API asks.
    expect(asked.map((each) => each.thinking?.type)).toEqual([
      ...['enabled', 'enabled', undefined, undefined, undefined],
    ]);
  });

  it.each([null, ''])('with the signature %j are not sent', async (signature) => {
    const id = await session({ thinking });
    script = [thinkingCall(signature)];
    expect(await turn(id, 'Do it')).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(asked).toHaveLength(2);
    expect(thoughtsOf(asked[1]!.messages)).toEqual([]);
  });

  it('that are taken are sent in their turn, and thinking goes on', async () => {
    const id = await session({ thinking });
    script = [thinkingCall()];
    await turn(id, 'Do it');
    expect(asked).toHaveLength(2);
    expect(thoughtsOf(asked[1]!.messages)).toHaveLength(1);
    expect(asked[1]!.thinking).toEqual(thinking);
  });
});

describe('requests that are refused', () => {
  it.each<[string, Block]>([
    [
      'no credit',
      { type: 'invalid_request_error', message: 'Your credit balance is too low to access the API' },
    ],
    ['no credit, spelled by a gateway', { type: 'error', message: 'CREDIT_BALANCE_TOO_LOW' }],
    [
      'a usage limit',
      {
        ...{ type: 'invalid_request_error' },
        message: 'You have reached your specified API usage limits. You will regain access on 2026-12-01.',
      },
    ],
    ['a monthly spending limit', { type: 'invalid_request_error', message: 'Monthly Spend Limit reached' }],
    ['a type alone', { type: 'billing_error', message: 'No.' }],
    ['402', { status: 402, type: 'error', message: 'Pay first' }],
    ['403', { status: 403, type: 'permission_error', message: 'Insufficient funds' }],
    [
      'a budget of a gateway',
      { type: 'budget_exceeded', message: 'Budget has been exceeded! Current cost: 3' },
    ],
    [
      'a disabled organization',
      { type: 'invalid_request_error', message: 'This organization has been disabled.' },
    ],
    ['a quota', { status: 429, type: 'insufficient_quota', message: 'You exceeded your current quota' }],
  ])('%s: the operator is named, and the message stays in the conversation', async (_name, error) => {
    const id = await session();
    refuse = () => error;
    const failed = await system.api.send(id, 'Remember seven');
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'model_authentication' } });
    expect(failed.error.message).toContain(error.message);
    expect(failed.error.message).toContain('operator');
    expect(asked).toHaveLength(1);
    refuse = () => null;
    expect(await turn(id, 'Which number?')).toMatchObject({ status: 'completed' });
    expect(JSON.stringify(asked.at(-1)!.messages)).toContain('Remember seven');
  });

  it.each([
    ['at once', { 'retry-after': '0' }],
    ['at a time that has passed', { 'retry-after': 'Sun, 06 Nov 1994 08:49:37 GMT' }],
    ['in no milliseconds', { 'retry-after-ms': '0' }],
  ])('a provider that is to be asked again %s is asked again', async (_name, headers) => {
    const id = await session();
    let calls = 0;
    refuse = () => {
      calls += 1;
      return calls === 1 ? { status: 429, type: 'rate_limit_error', message: 'slow down', headers } : null;
    };
    expect(await turn(id, 'Hello')).toMatchObject({ status: 'completed' });
    expect(calls).toBe(2);
  });

  it.each([
    ['an unknown model', { status: 404, type: 'not_found_error', message: 'model: claude-none' }],
    ['a setting', { message: 'max_tokens: 64000 > 32000, which is the maximum' }],
    ['a schema', { message: 'tools.0.custom.input_schema: JSON schema is invalid' }],
    ['whatever a gateway says', { message: 'Bad Request' }],
  ])('for %s: the message stays in the conversation', async (_name, error) => {
    const id = await session();
    refuse = () => ({ type: 'invalid_request_error', ...error });
    expect(await system.api.send(id, 'Remember seven')).toMatchObject({
      ...{ status: 'failed', error: { code: 'model_invalid_request' } },
    });
    refuse = () => null;
    await turn(id, 'Which number?');
    expect(JSON.stringify(asked.at(-1)!.messages)).toContain('Remember seven');
  });

  it('for what was asked: the session goes on without it, at the price of one refusal', async () => {
    const id = await session();
    refuse = (messages) =>
      JSON.stringify(messages).includes('POISON') ? { type: 'invalid_request_error', message: 'No' } : null;
    expect(await system.api.send(id, 'POISON')).toMatchObject({ status: 'failed' });
    expect(await turn(id, 'And now?')).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(asked).toHaveLength(3);
    expect(await turn(id, 'And then?')).toMatchObject({ status: 'completed', content: 'Done.' });
    expect(asked).toHaveLength(4);
  });
});
