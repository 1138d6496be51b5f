// Tools whose schemas the Messages API refuses as they are: they are translated for the model, which is as strict as the API,
// and clients see their own names everywhere.
import { startTestSystem, type TestSystem } from '../support/system.ts';

type Json = Record<string, any>;

let system: TestSystem;
beforeAll(async () => {
  system = await startTestSystem();
});
afterAll(() => system.stop());

/** As Pydantic writes `Decimal`. */
const DECIMAL = '^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$';
const LONG = 'k'.repeat(70);

const SEARCH = {
  name: 'search_orders',
  description: 'Searches orders',
  parameters: {
    anyOf: [{ required: ['$top'] }, { required: ['filter[id]'] }],
    properties: {
      $top: { type: 'integer', exclusiveMinimum: true, minimum: 0 },
      'filter[id]': { type: 'string', nullable: true },
      [LONG]: { type: 'boolean' },
      span: { type: 'array', items: [{ type: 'integer' }, { type: 'string' }], additionalItems: false },
      price: { anyOf: [{ type: 'number' }, { type: 'string', pattern: DECIMAL }] },
    },
  },
};
const WIRE_LONG = 'k'.repeat(64);
const withParameters = (parameters: Json, name = 'trap') => ({ name, description: 'A tool', parameters });
const field = (schema: Json): Json => withParameters({ type: 'object', properties: { x: schema } });
const calling = (input: Json) => `use tool search_orders ${JSON.stringify(input)}`;

describe('a tool with spellings that the Messages API refuses', () => {
  it('is stored and shown as it was given', async () => {
    const { id } = await system.api.session();
    const added = await system.api.post(`/v1/sessions/${id}/tools`, SEARCH);
    expect(added).toMatchObject({ status: 201, body: SEARCH });
    const { body } = await system.api.get(`/v1/sessions/${id}/tools`);
    expect(body.data[0].parameters).toEqual(SEARCH.parameters);
  });

  it('is called with names of the wire, and clients see its own', async () => {
    const { id } = await system.api.session({ tools: [SEARCH] });
    const input = { _top: 5, filter_id_: null, [WIRE_LONG]: true, span: [1, 'a'], price: '1.50' };
    const own = { $top: 5, 'filter[id]': null, [LONG]: true, span: [1, 'a'], price: '1.50' };
    const paused = await system.api.send(id, calling(input));
    expect(paused).toMatchObject({ status: 'requires_action' });
    const [call] = paused.tool_calls;
    expect(call.parameters).toEqual(own);
    const called = (await system.api.events(id)).find(({ type }) => type === 'tool.called');
    expect(called?.tool_call.parameters).toEqual(own);
    const result = { tool_call_id: call.id, result: 'order 7', wait: true };
    const { body } = await system.api.post(`/v1/sessions/${id}/tool-results`, result);
    expect(body).toMatchObject({ status: 'completed', content: expect.stringContaining('order 7') });
    expect(await system.api.send(id, 'And then?')).toMatchObject({ status: 'completed' });
  });

  it('shows its own names in a call that was refused as well', async () => {
    const { id } = await system.api.session({ tools: [SEARCH] });
    const reply = await system.api.send(id, calling({ _top: 0, filter_id_: 'a' }));
    expect(reply.tool_calls).toMatchObject([
      { status: 'failed', is_error: true, parameters: { $top: 0, 'filter[id]': 'a' } },
    ]);
    expect(await system.api.send(id, 'And then?')).toMatchObject({ status: 'completed' });
  });
});

describe('names that only references reach', () => {
  const Order = { type: 'object', properties: { $id: { type: 'string' } }, required: ['$id'] };
  const tool = withParameters({
    type: 'object',
    properties: { order: { $ref: '#/components/schemas/Order' } },
    components: { schemas: { Order } },
  });

  it('are translated too, as in OpenAPI documents', async () => {
    const { id } = await system.api.session({ tools: [tool] });
    const reply = await system.api.send(id, 'use tool trap {"order":{"_id":"o7"}}');
    expect(reply).toMatchObject({ tool_calls: [{ parameters: { order: { $id: 'o7' } } }] });
  });
});

describe('a schema that cannot be translated is refused with its path and the reason', () => {
  it.each<[Json, string, RegExp]>([
    [withParameters({ anyOf: [{ type: 'string' }] }), 'parameters.anyOf', /no alternative that is an object/],
    [
      field({ $ref: 'https://example.com/a.json' }),
      'parameters.properties.x.$ref',
      /must point into this schema/,
    ],
    [field({ $dynamicRef: '#a' }), 'parameters.properties.x.$dynamicRef', /not supported/],
    [field({ pattern: '(a)\\1' }), 'parameters.properties.x.pattern', /linear time/],
    [field({ pattern: '(?=a' }), 'parameters.properties.x.pattern', /no regular expression/],
  ])('%j', async (tool, path, reason) => {
    const { id } = await system.api.session();
    const error = (param: string) => ({
      status: 400,
      body: { error: { param, message: expect.stringMatching(reason) } },
    });
    expect(await system.api.post(`/v1/sessions/${id}/tools`, tool)).toMatchObject(error(path));
    const made = await system.api.post('/v1/sessions', {
      model: 'claude-haiku',
      tools: ['calculator', tool],
    });
    expect(made).toMatchObject(error(`tools[1].${path}`));
  });
});

describe('a pattern with look-around is not checked, and the warnings of the session name it', () => {
  const warning = (tool: string) =>
    expect.stringMatching(new RegExp(`'${tool}'.*look-around.*'parameters\\.properties\\.x`));
  const warnings = async (id: string) => (await system.api.get(`/v1/sessions/${id}`)).body.warnings;

  it.each([DECIMAL, '(?=a)b', '(?<!a)b', '(?i)^(?!admin)', '^(?P<year>\\d{4})(?=-)', '^(?!.*(.)\\1)'])(
    '%s',
    async (pattern) => {
      const made = await system.api.session({ tools: [field({ pattern })] });
      expect(made.warnings).toEqual([warning('trap')]);
      const reply = await system.api.send(made.id, 'use tool trap {"x":"no match"}');
      expect(reply).toMatchObject({
        status: 'requires_action',
        tool_calls: [{ parameters: { x: 'no match' } }],
      });
    },
  );

  it.each<[string, RegExp]>([
    ['^\\h+$', /a syntax that JavaScript does not have.*'parameters\.properties\.x\.pattern'/],
    ['^[a-z]{1,2000}$', /repeats too much.*'parameters\.properties\.x\.pattern'/],
  ])('nor is %s', async (pattern, said) => {
    const made = await system.api.session({ tools: [field({ pattern })] });
    expect(made.warnings).toEqual([expect.stringMatching(said)]);
    const reply = await system.api.send(made.id, 'use tool trap {"x":"no match"}');
    expect(reply).toMatchObject({ status: 'requires_action' });
  });

  it('of names of fields', async () => {
    const prices = field({
      type: 'object',
      patternProperties: { [DECIMAL]: { type: 'integer' } },
      additionalProperties: false,
    });
    const { id, warnings: said } = await system.api.session({ tools: [prices] });
    expect(said).toEqual([warning('trap')]);
    expect(await system.api.send(id, 'use tool trap {"x":{"1.5":1}}')).toMatchObject({
      status: 'requires_action',
    });
  });

  it('after PATCH and after a tool is added or removed', async () => {
    const { id } = await system.api.session();
    const decimal = field({ pattern: DECIMAL });
    const patched = await system.api.patch(`/v1/sessions/${id}`, { tools: [decimal] });
    expect(patched.body.warnings).toEqual([warning('trap')]);
    await system.api.post(`/v1/sessions/${id}/tools`, { ...decimal, name: 'other' });
    expect(await warnings(id)).toEqual([warning('trap'), warning('other')]);
    await system.api.delete(`/v1/sessions/${id}/tools/trap`);
    expect(await warnings(id)).toEqual([warning('other')]);
  });

  it('but not one that only looks like it', async () => {
    const { id } = await system.api.session({ tools: [field({ pattern: '^(?:\\(?=|[(?=])b$' })] });
    expect(await warnings(id)).toEqual([]);
  });
});

describe('the tools of a session share one budget', () => {
  const heavy = (index: number) =>
    withParameters({ type: 'object', $comment: `${index}`, allOf: Array(2_450).fill({}) }, `heavy_${index}`);
  const long = (index: number) =>
    withParameters({ type: 'object', $comment: 'x'.repeat(65_000) }, `long_${index}`);
  const listOf = (count: number, make: (index: number) => Json) =>
    Array.from({ length: count }, (_, index) => make(index));
  const refused = (param: string) => ({
    status: 400,
    body: { error: { param, message: expect.stringMatching(/too large together.*Use fewer tools/) } },
  });

  it('in a new session', async () => {
    const tools = listOf(20, heavy);
    const made = await system.api.post('/v1/sessions', { model: 'claude-haiku', tools });
    expect(made).toMatchObject(refused('tools[16].parameters'));
  });

  it('in a change', async () => {
    const { id } = await system.api.session();
    const changed = await system.api.patch(`/v1/sessions/${id}`, { tools: listOf(20, heavy) });
    expect(changed).toMatchObject(refused('tools[16].parameters'));
  });

  it('added one by one', async () => {
    const { id } = await system.api.session({ tools: listOf(16, heavy) });
    const path = `/v1/sessions/${id}/tools`;
    expect(await system.api.post(path, heavy(16))).toMatchObject(refused('parameters'));
    expect(await system.api.post(path, { ...heavy(17), name: 'heavy_0' })).toMatchObject({ status: 200 });
    expect(await system.api.post(path, withParameters({}, 'small'))).toMatchObject({ status: 201 });
    await system.api.delete(`${path}/heavy_1`);
    expect(await system.api.post(path, heavy(16))).toMatchObject({ status: 201 });
  });

  it('in bytes', async () => {
    const { id } = await system.api.session({ tools: listOf(63, long) });
    const path = `/v1/sessions/${id}/tools`;
    expect(await system.api.post(path, long(63))).toMatchObject({ status: 201 });
    expect(await system.api.post(path, long(64))).toMatchObject(refused('parameters'));
  });
});
