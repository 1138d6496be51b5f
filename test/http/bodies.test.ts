// Bodies: what is read, what is refused, and the one sentence that says why.
import { deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { ApiError } from '../../src/contracts/errors.ts';
import { bodyPath } from '../../src/http/field-path.ts';
import { DEPTH_MAX, guardJson } from '../../src/http/json-guard.ts';
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
    [{ model: 'm', max_tokens: 1.5 }, 'max_tokens', "The 'max_tokens' field must be a whole number"],
    [{ model: 'm', max_tokens: 0 }, 'max_tokens', "The 'max_tokens' field must be at least 1"],
    [
      { model: 'm', max_tokens: true },
      'max_tokens',
      "The 'max_tokens' field must be a number, not true or false",
    ],
    [{ model: 'm', on_busy: 'wait' }, 'on_busy', "The 'on_busy' field must be one of 'queue', 'reject'"],
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
      { model: 'm', tools: ['calculator', 'hammer'] },
      'tools[1]',
      "The 'tools[1]' field must be one of the built-in tools: web_search, web_fetch, calculator, code_interpreter, file_handler",
    ],
    [
      { model: 'm', tools: [{ name: 'calculator', config: {} }] },
      'tools[0].config',
      "Unknown field 'tools[0].config'",
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
      { content: [{ type: 'image' }] },
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
    expectError(await create(`{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`), 400, 'invalid_request');
    expect(performance.now() - started).toBeLessThan(500);
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

describe('transport', () => {
  const body = { model: 'claude-haiku' };

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"'])(
    'takes %s',
    async (type) => expect((await create(body, { 'content-type': type })).status).toBe(201),
  );

  it.each([
    'text/plain',
    'application/json; charset=latin1',
    'application/vnd.api+json',
    'multipart/form-data; boundary=x',
    '',
  ])('refuses the content type %p', async (type) =>
    expectError(await create(body, { 'content-type': type }), 415, 'unsupported_media_type'),
  );

  it.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ] as const)('takes %s', async (encoding, pack) => {
    expect((await create(pack(JSON.stringify(body)), { 'content-encoding': encoding })).status).toBe(201);
  });

  it('refuses other encodings, and bytes that are not what they say', async () => {
    expectError(await create(body, { 'content-encoding': 'br' }), 415, 'unsupported_media_type');
    expectError(await create('{}', { 'content-encoding': 'gzip' }), 400, 'invalid_request');
    const cut = gzipSync(JSON.stringify(body)).subarray(0, 15);
    expectError(await create(cut, { 'content-encoding': 'gzip' }), 400, 'invalid_request');
  });

  it.each([
    ['by its length', (bytes: Buffer) => bytes, {}],
    ['after inflating', (bytes: Buffer) => gzipSync(bytes), { 'content-encoding': 'gzip' }],
  ])('refuses more than 4 MiB %s, and goes on serving', async (_name, pack, headers) => {
    const bytes = Buffer.from(`{"model":"${'x'.repeat(4 * 1024 * 1024)}"}`);
    expectError(await create(pack(bytes), headers as Record<string, string>), 413, 'payload_too_large');
    expect((await create(body)).status).toBe(201);
  });

  it('refuses more than 4 MiB in chunks without a length', async () => {
    const chunk = `${'x'.repeat(1024 * 1024)}`;
    const frame = `100000\r\n${chunk}\r\n`;
    const received = await app.raw(
      'POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\nConnection: close\r\n' +
        `Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${frame.repeat(5)}0\r\n\r\n`,
    );
    expect(received).toMatch(/^HTTP\/1.1 413 /);
  });

  it('takes a body of exactly 4 MiB', async () => {
    const head = '{"model":"m","unknown":"';
    const answer = await create(`${head}${'x'.repeat(4 * 1024 * 1024 - head.length - 2)}"}`);
    expectError(answer, 400, 'invalid_request', 'unknown');
  });

  it('reads no body as {}, whatever its type, and takes {} for an action', async () => {
    const { id } = addSession(app);
    expectError(await app.call('POST', '/v1/sessions'), 400, 'invalid_request', 'model');
    expectError(
      await app.call('POST', '/v1/sessions', { headers: { 'content-type': 'text/plain' } }),
      400,
      'invalid_request',
      'model',
    );
    expect((await app.call('POST', `/v1/sessions/${id}/interrupt`)).status).toBe(200);
    expect((await app.call('POST', `/v1/sessions/${id}/interrupt`, { body: {} })).status).toBe(200);
    expectError(
      await app.call('POST', `/v1/sessions/${id}/interrupt`, { body: { reason: 'x' } }),
      400,
      'invalid_request',
      'reason',
    );
  });

  it("takes the guide's GET with a content type and no body, and refuses one with fields", async () => {
    const headers = { 'content-type': 'application/json' };
    expect((await app.call('GET', '/v1/sessions', { headers })).status).toBe(200);
    const received = await app.raw(
      'GET /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\nConnection: close\r\n' +
        'Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"status":"a"}'.slice(0, 1_000),
    );
    expect(received).toMatch(/^HTTP\/1.1 400 /);
  });
});

describe('the walk over a body', () => {
  const names = { noun: 'field', path: bodyPath } as const;

  it('lets every harmless value pass, however it is built', () => {
    const harmless = fc.jsonValue({ maxDepth: 20, noUnicodeString: false } as never);
    fc.assert(
      fc.property(harmless, (value) => {
        const text = JSON.stringify({ value });
        fc.pre(!/\\u0000|\\ud[89a-f]|__proto__/i.test(text));
        expect(() => guardJson(JSON.parse(text), names)).not.toThrow();
      }),
    );
  });

  it('finds one bad text wherever it lies, and names the place', () => {
    const steps = fc.array(fc.oneof(fc.nat(3), fc.constantFrom('a', 'b', 'long_name')), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, fc.constantFrom('\u0000', '\ud800', 'a\udfffb'), (path, bad) => {
        const value = path.reduceRight<unknown>(
          (inner, step) =>
            typeof step === 'number' ? [...Array(step).fill('ok'), inner] : { first: 1, [step]: inner },
          bad,
        );
        const root = { root: value };
        const expected = bodyPath(['root', ...path]);
        try {
          guardJson(root, names);
          throw new Error('nothing was found');
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError);
          expect((error as ApiError).options.param).toBe(expected);
        }
      }),
    );
  });
});
