// The OpenAPI document: complete, consistent, and true of what is served.
import { ERROR_CODES } from '../../src/contracts/errors.ts';
import { FOREIGN_FIELDS } from '../../src/contracts/json-value.ts';
import { createRoutes } from '../../src/http/routes/index.ts';
import { createFake } from './support/fake-services.ts';
import { type Harness, startHarness } from './support/server.ts';

interface Operation {
  operationId: string;
  tags: string[];
  security: object[];
  parameters?: { name: string; in: string; required?: boolean; schema: object }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<
    string,
    { description: string; headers: object; content: Record<string, { schema: object; example?: unknown }> }
  >;
}

const routes = createRoutes({
  services: createFake().services,
  settings: { cursorSecret: Buffer.alloc(32), version: '0.1.0', syncWaitSeconds: 240 },
});

let app: Harness;
let document: any;
const operations: { name: string; operation: Operation }[] = [];
beforeAll(async () => {
  app = await startHarness();
  document = (await app.call('GET', '/openapi.json', { key: null })).body;
  for (const [path, methods] of Object.entries<Record<string, Operation>>(document.paths))
    for (const [method, operation] of Object.entries(methods))
      operations.push({ name: `${method} ${path}`, operation });
});
afterAll(() => app.close());

function* nodesOf(value: unknown): Generator<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Record<string, unknown>;
  for (const child of Object.values(value)) yield* nodesOf(child);
}

it('is OpenAPI 3.1 of this version', () => {
  expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'OpenClaw API', version: '0.1.0' } });
});

it('is written once, for anyone may ask for it without a limit', async () => {
  const write = jest.spyOn(JSON, 'stringify');
  expect((await app.call('GET', '/openapi.json', { key: null })).body).toEqual(document);
  const lengths = write.mock.results.map(({ value }) => String(value).length);
  write.mockRestore();
  expect(Math.max(0, ...lengths)).toBeLessThan(10_000);
});

it('has every route that is served, and no other', () => {
  const served = routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
  expect(operations.map(({ name }) => name).sort()).toEqual(served.sort());
});

it('takes any JSON in the fields only whose numbers keep their digits', () => {
  const resolved = (node: any): any => {
    const name = node.$ref?.replace('#/components/schemas/', '');
    return name ? document.components.schemas[name] : node;
  };
  const free = new Set<string>();
  const takesAny = (schema: any) =>
    Object.keys(schema).length === 0 || Object.keys(schema.additionalProperties ?? { none: 1 }).length === 0;
  const seen = new Set<unknown>();
  const walk = (node: any): void => {
    const schema = resolved(node);
    if (typeof schema !== 'object' || schema === null || seen.has(schema)) return;
    seen.add(schema);
    for (const [name, property] of Object.entries<any>(schema.properties ?? {}))
      if (takesAny(resolved(property))) free.add(name);
    for (const child of Object.values(schema)) for (const each of [child].flat()) walk(each);
  };
  for (const { operation } of operations)
    walk(operation.requestBody?.content['application/json']?.schema ?? {});
  expect([...free].sort()).toEqual([...FOREIGN_FIELDS].sort());
});

it('has no reference into nothing', () => {
  const references = [...nodesOf(document)].map(({ $ref }) => $ref).filter((ref) => typeof ref === 'string');
  expect(references.length).toBeGreaterThan(20);
  for (const reference of references) {
    const target = (reference as string)
      .replace('#/', '')
      .split('/')
      .reduce<Record<string, unknown> | undefined>((node, key) => node?.[key] as never, document);
    expect([reference, typeof target]).toEqual([reference, 'object']);
  }
});

it('names each operation once, with a tag that is declared and the parameters of its path', () => {
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  const tags = document.tags.map((tag: { name: string }) => tag.name);
  for (const { name, operation } of operations) {
    expect(tags).toEqual(expect.arrayContaining(operation.tags));
    const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
    expect(inPath.map((parameter) => `{${parameter.name}}`)).toEqual(name.match(/\{\w+\}/g) ?? []);
    expect(inPath.every(({ required }) => required)).toBe(true);
  }
});

it('asks for a key wherever a route does, by a scheme that is declared', () => {
  const schemes = Object.keys(document.components.securitySchemes);
  for (const route of routes) {
    const operation = operations.find(
      ({ operation: { operationId } }) => operationId === route.operationId,
    )?.operation;
    const used = operation?.security.flatMap((entry) => Object.keys(entry));
    expect(used).toEqual(route.level === 'none' ? [] : schemes);
  }
});

it('says how every call can fail, in the envelope, with the headers of every answer', () => {
  const statuses = new Set(Object.values(ERROR_CODES).map(({ status }) => String(status)));
  for (const { name, operation } of operations) {
    const failures = Object.entries(operation.responses).filter(
      ([status]) => status >= '400' && statuses.has(status),
    );
    expect(failures.length).toBeGreaterThanOrEqual(6);
    for (const [status, response] of failures) {
      if (name === 'get /readyz' && status === '503') continue;
      expect(response.content['application/json']?.schema).toEqual({ $ref: '#/components/schemas/Error' });
      expect(Object.keys(response.headers)).toContain('request-id');
      if (name.includes('/v1/')) expect(Object.keys(response.headers)).toContain('X-RateLimit-Reset');
    }
  }
  const create = operations.find(({ name }) => name === 'post /v1/sessions/{sessionId}/messages')?.operation;
  expect(Object.keys(create?.responses ?? {})).toEqual([
    '200',
    '202',
    '400',
    '401',
    '403',
    '404',
    '405',
    '406',
    '408',
    '409',
    '413',
    '415',
    '422',
    '429',
    '431',
    '500',
    '503',
  ]);
  expect(Object.keys(create?.responses['200']?.content ?? {})).toEqual([
    'application/json',
    'text/event-stream',
  ]);
});

it('documents Idempotency-Key on every write, with its refusal and the sign of a replay, and on nothing else', () => {
  const takesKey = ({ operation }: { operation: Operation }) =>
    (operation.parameters ?? []).some(
      ({ name, in: place }) => place === 'header' && name === 'Idempotency-Key',
    );
  const taking = operations.filter(takesKey);
  const writes = operations.filter(({ name }) => !name.startsWith('get '));
  expect(taking.map(({ name }) => name)).toEqual(writes.map(({ name }) => name));
  for (const { operation } of taking) {
    expect(operation.responses[422]?.description).toBe('`idempotency_key_reused`');
    const done = Object.entries(operation.responses).filter(([status]) => status < '300');
    for (const [, { headers }] of done) expect(Object.keys(headers)).toContain('Idempotent-Replayed');
  }
});

it('shows examples that its own schemas accept', () => {
  const shown = routes.filter(({ examples }) => examples);
  expect(shown.length).toBeGreaterThanOrEqual(4);
  for (const { examples, body, response } of shown) {
    if (examples?.request) expect(body.parse(examples.request)).toEqual(examples.request);
    if (examples?.response) expect(response.parse(examples.response)).toEqual(examples.response);
  }
});

it('lets answers gain fields, and requests not', () => {
  const { Session, CreateSession } = document.components.schemas;
  expect(Session).not.toHaveProperty('additionalProperties');
  expect(CreateSession.additionalProperties).toBe(false);
});

it('gives schemas that say what they mean', () => {
  for (const { operation } of operations)
    for (const { schema, name } of operation.parameters ?? [])
      expect([name, Object.keys(schema).length > 0]).toEqual([name, true]);
});
