// Bodies: what is read, what is refused, and the one sentence that says why.
import { EXACT_NUMBERS_MAX, PARTS_MAX } from '../../src/http/body.ts';
import { DEPTH_MAX } from '../../src/http/json-guard.ts';
import { addSession } from './support/fake-services.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
beforeAll(async () => {
  app = await startHarness();
});
afterAll(() => app.close());

const create = (body: unknown, headers: Record<string, string> = {}) =>
  app.call('POST', '/v1/sessions', { body, headers });

describe('fields', () => {
  const text = (length: number) => 'x'.repeat(length);
  const keys = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));

  it.each([
    [{}, 'model', "The 'model' field is required"],
    [{ model: 5 }, 'model', "The 'model' field must be a string, not a number"],
    [{ model: null }, 'model', "The 'model' field must be a string, not null"],
    [{ model: '' }, 'model', "The 'model' field must have at least 1 character"],
    [{ model: text(201) }, 'model', "The 'model' field must have at most 200 characters"],
    [{ model: 'm', modle: 1 }, 'modle', "Unknown field 'modle'"],
    [{ modle: 'm' }, 'modle', "Unknown field 'modle'. Required, but missing: 'model'"],
    [
      { model: 'm', tools: [{ name: 'x', descripton: 'd', parameters: {} }] },
      'tools[0].descripton',
      "Unknown field 'tools[0].descripton'. Required, but missing: 'tools[0].description'",
    ],
    [
      { model: 'm', tools: [{ name: 'x', description: 'd', input_schema: {} }] },
      'tools[0].input_schema',
      "Unknown field 'tools[0].input_schema'. Required, but missing: 'tools[0].parameters'",
    ],
    [{ model: 'm', id: 'sess_x' }, 'id', "Unknown field 'id'"],
    [
      { model: 'm', system_prompt: text(100_001) },
      'system_prompt',
      "The 'system_prompt' field must have at most 100000 characters",
    ],
    [{ model: 'm', temperature: 2 }, 'temperature', "The 'temperature' field must be at most 1"],
    [
      { model: 'm', temperature: 'hot' },
      'temperature',
      "The 'temperature' field must be a number, not a string",
    ],
    [
      { model: 'm', thinking: { type: 'disabled', x: text(5_000) } },
      'thinking.x',
      "Unknown field 'thinking.x'",
    ],
    [{ model: 'm', max_tokens: 1.5 }, 'max_tokens', "The 'max_tokens' field must be a whole number"],
    [{ model: 'm', max_tokens: 0 }, 'max_tokens', "The 'max_tokens' field must be at least 1"],
    [
      { model: 'm', max_tokens: true },
      'max_tokens',
      "The 'max_tokens' field must be a number, not true or false",
    ],
    [
      { model: 'm', on_busy: 'wait' },
      'on_busy',
      "The 'on_busy' field must be one of 'queue', 'reject', 'interrupt', 'steer'",
    ],
    [{ model: 'm', metadata: [] }, 'metadata', "The 'metadata' field must be an object, not an array"],
    [
      { model: 'm', metadata: { a: 1 } },
      'metadata.a',
      "The 'metadata.a' field must be a string, not a number",
    ],
    [
      { model: 'm', metadata: { a: text(513) } },
      'metadata.a',
      "The 'metadata.a' field must have at most 512 characters",
    ],
    [
      { model: 'm', metadata: { [text(65)]: 'v' } },
      `metadata.${text(65)}`,
      `The 'metadata.${text(65)}' field has a name that must have at most 64 characters`,
    ],
    [
      { model: 'm', metadata: { constructor: 'v' } },
      'metadata.constructor',
      "The 'metadata.constructor' field is a reserved name",
    ],
    [{ model: 'm', metadata: keys(51) }, 'metadata', "The 'metadata' field must have at most 50 keys"],
    [{ model: 'm', tools: [{}] }, 'tools[0].name', "The 'tools[0].name' field is required"],
    [
      { model: 'm', tools: [{ name: 'hammer' }] },
      'tools[0].description',
      "The 'tools[0].description' field is required",
    ],
    [
      { model: 'm', tools: ['calculator', { name: 'hammer', description: 'Hits' }] },
      'tools[1].parameters',
      "The 'tools[1].parameters' field is required",
    ],
    [
      { model: 'm', tools: ['calculator', 'hammer'] },
      'tools[1]',
      "The 'tools[1]' field must be one of the built-in tools (web_search, web_fetch, calculator, code_interpreter, file_handler), or a tool of your own with 'name', 'description' and 'parameters'",
    ],
    [
      { model: 'm', tools: [{ name: 'calculator', config: {} }] },
      'tools[0].config',
      "'config' isn't available in this version",
    ],
    [
      { model: 'm', tools: ['calculator', 'calculator'] },
      'tools[1]',
      "The 'tools[1]' field names 'calculator' a second time",
    ],
    [
      { model: 'm', tools: Array(129).fill('calculator') },
      'tools',
      "The 'tools' field must have at most 128 items",
    ],
    [
      { model: 'm', message: { content: '' } },
      'message.content',
      "The 'message.content' field must have at least 1 character",
    ],
    [
      { model: 'm', message: 5 },
      'message',
      "The 'message' field must be a string, an array of content blocks, or an object with 'content'",
    ],
    [{ model: 'm', message: {} }, 'message.content', "The 'message.content' field is required"],
    [
      { model: 'm', message: [{ type: 'text', text: 1 }] },
      'message[0].text',
      "The 'message[0].text' field must be a string, not a number",
    ],
  ])('says of %.60j what is wrong', async (body, param, message) => {
    const answer = await create(body);
    expectError(answer, 400, 'invalid_request', param);
    expect(answer.body.error.message).toBe(message);
  });

  it.each([
    [{}, 'content', "The 'content' field is required"],
    [{ content: 5 }, 'content', "The 'content' field must be a string or an array of content blocks"],
    [{ content: [] }, 'content', "The 'content' field must have at least 1 item"],
    [{ content: ['text'] }, 'content[0]', "The 'content[0]' field must be an object, not a string"],
    [{ content: [{}] }, 'content[0].type', "The 'content[0].type' field is required"],
    [
      { content: [{ type: 'picture' }] },
      'content[0].type',
      "The 'content[0].type' field must be one of 'text', 'json'",
    ],
    [{ content: [{ type: 'text' }] }, 'content[0].text', "The 'content[0].text' field is required"],
    [{ content: 'a', stream: 'yes' }, 'stream', "The 'stream' field must be true or false, not a string"],
    [
      { content: 'a', stream: true, background: true },
      'background',
      "The 'background' field can't be combined with 'stream'",
    ],
    [{ content: 'a', role: 'assistant' }, 'role', "Unknown field 'role'"],
  ])('says of the message %j what is wrong', async (body, param, message) => {
    const answer = await app.call('POST', '/v1/sessions/any/messages', { body });
    expectError(answer, 400, 'invalid_request', param);
    expect(answer.body.error.message).toBe(message);
  });
});

describe('JSON', () => {
  it.each([
    ['cut off', '{"model":'],
    ['a trailing comma', '{"model":"m",}'],
    ['something behind it', '{"model":"m"} x'],
    ['no JSON', 'model=m'],
    ['only spaces', '   '],
  ])('says where it ends being JSON: %s', async (_name, body) => {
    const answer = await create(body);
    expectError(answer, 400, 'invalid_request');
    expect(answer.body.error.message).toMatch(/^The request body is not valid JSON: .*(position|end|token)/);
  });

  it.each(['[]', 'null', '"text"', '5'])('wants an object, not %s', async (body) => {
    const answer = await create(body);
    expectError(answer, 400, 'invalid_request');
    expect(answer.body.error.message).toBe('The request body must be a JSON object');
  });

  it('refuses bytes that are not UTF-8', async () => {
    expectError(await create(Buffer.from('{"model":"\xff"}', 'latin1')), 400, 'invalid_request');
  });

  it.each([
    ['__proto__ at the top', '{"__proto__":{"x":1},"model":"m"}', '__proto__'],
    ['__proto__ in metadata', '{"model":"m","metadata":{"__proto__":"x"}}', 'metadata.__proto__'],
    ['NUL in a value', '{"model":"a\\u0000"}', 'model'],
    ['NUL in a key', '{"model":"m","metadata":{"a\\u0000":"v"}}', 'metadata.a\\u0000'],
    ['half a character', '{"model":"m","tools":[{"name":"\\ud800"}]}', 'tools[0].name'],
    ['half a character in a key', '{"model":"m","metadata":{"\\udfff":"v"}}', 'metadata.\ufffd'],
  ])('refuses %s', async (_name, body, param) => {
    expectError(await create(body), 400, 'invalid_request', param);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  it('takes 64 levels and refuses 65', async () => {
    const nested = (levels: number) =>
      `{"content":[{"type":"json","value":${'['.repeat(levels)}${']'.repeat(levels)}}]}`;
    const { id } = addSession(app);
    const send = (body: string) => app.call('POST', `/v1/sessions/${id}/messages`, { body });
    expect((await send(nested(DEPTH_MAX - 3))).status).toBe(200);
    const refused = await send(nested(DEPTH_MAX - 2));
    expectError(refused, 400, 'invalid_request', `content[0].value${'[0]'.repeat(DEPTH_MAX - 3)}`);
    expect(refused.body.error.message).toContain('is nested deeper than 64 levels');
  });

  it.each([50_000, 2_000_000])('refuses %i levels at once', async (levels) => {
    const started = performance.now();
    const nested = '['.repeat(levels) + ']'.repeat(levels);
    const refused = await create(`{"a":{"b":"c"},"d\\"\u00e9" : ${nested}}`);
    expectError(refused, 400, 'invalid_request', 'd"\u00e9');
    expect(refused.body.error.message).toBe(`The 'd"\u00e9' field is nested deeper than 64 levels`);
    expect(performance.now() - started).toBeLessThan(500);
  });

  describe('bodies that take long to read', () => {
    const sent = async (item: (index: number) => string, count: number) => {
      const { id } = addSession(app);
      const value = `[${Array.from({ length: count }, (_, index) => item(index)).join(',')}]`;
      const body = `{"content":[{"type":"json","value":${value}}]}`;
      return app.call('POST', `/v1/sessions/${id}/messages`, { body });
    };
    /** Those around the list. */
    const PARTS_BESIDES = 8;

    it.each<[string, (index: number) => string, number]>([
      ['empty objects', () => '{}', 2],
      ['new names', (index) => `{"k${index}":1}`, 3],
      ['numbers', () => '1', 1],
    ])('takes %s up to a limit', async (_name, item, parts) => {
      const count = Math.floor((PARTS_MAX - PARTS_BESIDES) / parts);
      expect((await sent(item, count)).status).toBe(200);
      const refused = await sent(item, count + PARTS_BESIDES);
      expectError(refused, 413, 'payload_too_large');
      expect(refused.body.error.message).toMatch(/more than 500000 values and names of fields\. Send less/);
    });

    it('does not count what is in a text', async () => {
      expect((await sent(() => '"[{,:\\",:"', 90_000)).status).toBe(200);
    });

    it.each(['1.0', '-0', '1e1', '12345678901234567890'])('takes %s up to a limit', async (literal) => {
      expect((await sent(() => literal, EXACT_NUMBERS_MAX)).status).toBe(200);
      const refused = await sent(() => literal, EXACT_NUMBERS_MAX + 1);
      expectError(refused, 413, 'payload_too_large');
      expect(refused.body.error.message).toContain(
        'more than 50000 numbers that a double would write differently',
      );
    });
  });

  it.each([
    [
      '10,000 metadata keys',
      { model: 'm', metadata: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, 'v'])) },
    ],
    ['10,000 tools', { model: 'm', tools: Array.from({ length: 10_000 }, () => ({ name: 'x' })) }],
    ['a key of a megabyte', { model: 'm', ['k'.repeat(1_000_000)]: 1 }],
  ])('refuses %s with a short answer', async (_name, body) => {
    const answer = await create(body);
    expect(answer.status).toBe(400);
    expect(answer.text.length).toBeLessThan(1_000);
  });
});
