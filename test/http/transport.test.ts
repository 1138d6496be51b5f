// How a body may travel: types, encodings, sizes, and none at all.
import { deflateSync, gzipSync } from 'node:zlib';
import { addSession } from './support/fake-services.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
beforeAll(async () => {
  app = await startHarness();
});
afterAll(() => app.close());

const create = (body: unknown, headers: Record<string, string> = {}) =>
  app.call('POST', '/v1/sessions', { body, headers });

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
