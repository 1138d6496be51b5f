// The server around the app: sockets, stops, probes, headers, logs.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, Server } from 'node:net';
import express from 'express';
import { assertPortFree, listen } from '../../src/http/server.ts';
import { freePort } from '../support/ports.ts';
import { addSession } from './support/fake-services.ts';
import { makeEvent } from './support/fixtures.ts';
import { type Harness, startHarness } from './support/server.ts';

let app: Harness;
beforeEach(async () => {
  app = await startHarness();
});
afterEach(() => app.close());

describe('requests that are not well-formed HTTP', () => {
  it.each([
    ['no HTTP', 'nonsense\r\n\r\n', '400 Bad Request'],
    ['an unknown method', 'HACK /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n', '400 Bad Request'],
    [
      'both lengths',
      'POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '400 Bad Request',
    ],
    [
      'headers too large',
      `GET /v1/sessions HTTP/1.1\r\nHost: x\r\nX-Big: ${'x'.repeat(20_000)}\r\n\r\n`,
      '431 Request Header Fields Too Large',
    ],
    ['no host', 'GET /v1/sessions HTTP/1.1\r\nConnection: close\r\n\r\n', '400 Bad Request'],
  ])('are answered in the envelope: %s', async (_name, text, status) => {
    const received = await app.raw(text);
    expect(received).toMatch(new RegExp(`^HTTP/1.1 ${status}\r\n`));
    expect(received).toMatch(/\r\nrequest-id: req_[A-Za-z0-9]{24}\r\n/);
    const body = JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4));
    expect(Object.keys(body.error)).toEqual(['code', 'message', 'param', 'type']);
    expect(body.error.code).toBe('invalid_request');
  });

  it('takes a target with its host, as proxies send it', async () => {
    const received = await app.raw(
      'GET http://openclaw.example/v1/models?limit=1 HTTP/1.1\r\nHost: x\r\n' +
        'Authorization: Bearer a-admin\r\nConnection: close\r\n\r\n',
    );
    expect(received).toMatch(/^HTTP\/1.1 200 /);
  });

  it('sees a header behind thousands of others', async () => {
    const received = await app.raw(
      `GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${'a:b\r\n'.repeat(2_500)}` +
        'Authorization: Bearer a-admin\r\n\r\n',
    );
    expect(received).toMatch(/^HTTP\/1.1 200 /);
  });

  it('ignores an expectation that it does not know', async () => {
    const received = await app.raw(
      'GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n',
    );
    expect(received).toMatch(/^HTTP\/1.1 200 /);
  });

  it('keeps its time limits within a minute, and idle connections longer than load balancers do', () => {
    const { headersTimeout, requestTimeout, keepAliveTimeout } = app.http.server;
    expect(headersTimeout).toBeLessThanOrEqual(requestTimeout);
    expect(requestTimeout + 5_000).toBeLessThanOrEqual(60_000);
    expect(keepAliveTimeout).toBeGreaterThan(60_000);
  });
});

describe('listening', () => {
  it('names the port that is taken, and what to do', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const message = new RegExp(`Port ${port} on 127.0.0.1 is already in use.*PORT`);
    await expect(listen(express(), { host: '127.0.0.1', port })).rejects.toThrow(message);
    await expect(assertPortFree({ host: '127.0.0.1', port })).rejects.toThrow(message);
    await new Promise((resolve) => other.close(resolve));
    await assertPortFree({ host: '127.0.0.1', port });
  });

  it('names the address that the machine does not have', async () => {
    await expect(listen(express(), { host: '192.0.2.1', port: 0 })).rejects.toThrow(
      /no address 192.0.2.1.*HOST/,
    );
  });
});

describe('trying a port', () => {
  it('is held up by no client that calls just then', async () => {
    const port = await freePort();
    const realClose = Server.prototype.close;
    // The moment is too short to be met by chance: the port is let go again when a call has come in.
    jest.spyOn(Server.prototype, 'close').mockImplementationOnce(function (this: Server, done) {
      const client = connect(port, '127.0.0.1', () => client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
      client.on('error', () => undefined);
      this.once('connection', () => setImmediate(() => realClose.call(this, done)));
      return this;
    });
    await assertPortFree({ host: '127.0.0.1', port });
  });
});

describe('stopping', () => {
  const aborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

  it('ends open streams, tells who waits where to look, and takes nobody else', async () => {
    const { id } = addSession(app);
    app.script.events = async function* (signal) {
      yield makeEvent({ type: 'message.content_started', data: { step: 1 } });
      await aborted(signal);
    };
    app.services.messages.waitForReply = async (_accepted, signal) => {
      await aborted(signal);
      throw signal.reason;
    };
    const path = `/v1/sessions/${id}/messages`;
    const stream = await app.fetch('POST', path, { body: { content: 'go', stream: true } });
    const waiting = app.call('POST', path, { body: { content: 'go' } });
    while (app.calls.filter(({ name }) => name === 'messages.accept').length < 2)
      await new Promise((resolve) => setImmediate(resolve));
    const unused = connect(app.http.port, '127.0.0.1');
    await once(unused, 'connect');
    const started = performance.now();
    const closed = app.http.close();
    expect(await stream.text()).toContain('content_start');
    const answer = await waiting;
    expect([answer.status, answer.headers.get('location')]).toEqual([202, `${path}/${answer.body.id}`]);
    const gone = once(unused, 'close');
    await closed;
    expect(performance.now() - started).toBeLessThan(2_000);
    await expect(app.call('GET', '/healthz')).rejects.toThrow();
    await gone;
  });
});

describe('stopping, with calls that would not end by themselves', () => {
  const never = () => new Promise<never>(() => undefined);
  const go = { body: { content: 'go', stream: true } };
  let path: string;
  beforeEach(() => {
    path = `/v1/sessions/${addSession(app).id}/messages`;
  });

  it('ends a stream at once whose next event does not come from the store', async () => {
    app.script.events = async function* () {
      yield makeEvent({ type: 'message.content_started', data: { step: 1 } });
      await never();
    };
    const stream = await app.fetch('POST', path, go);
    const started = performance.now();
    const closed = app.http.close();
    expect(await stream.text()).toMatch(/^id: \d+\nevent: content_start\ndata: .*\n\n$/);
    await closed;
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('says where the message is to whom it can begin no stream any more', async () => {
    const { accept } = app.services.messages;
    let closed: Promise<void> | undefined;
    app.services.messages.accept = async (...call) => {
      closed = app.http.close();
      return accept(...call);
    };
    const answer = await app.call('POST', path, go);
    expect([answer.status, answer.headers.get('location')]).toEqual([202, `${path}/${answer.body.id}`]);
    await closed;
  });

  it('cuts off a client that takes nothing, in time for the process to be gone within 10 seconds', async () => {
    let sent = 0;
    app.script.events = async function* () {
      for (; ; sent++) yield makeEvent({ type: 'message.delta', data: { step: 1, text: 'x'.repeat(2_000) } });
    };
    const text = JSON.stringify(go.body);
    const socket = connect(app.http.port, '127.0.0.1');
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
    await once(socket, 'readable');
    // The kernels take some megabytes; then the count stands still.
    for (let before = -1; before !== sent; await new Promise((resolve) => setTimeout(resolve, 100)))
      before = sent;
    const from = performance.now();
    await app.http.close();
    expect(performance.now() - from).toBeGreaterThan(5_000);
    expect(performance.now() - from).toBeLessThan(9_000);
    socket.destroy();
  });
});

describe('probes', () => {
  it('tell that the process is up, and whether it can work', async () => {
    expect((await app.call('GET', '/healthz', { key: null })).body).toEqual({ status: 'ok' });
    expect((await app.call('GET', '/readyz', { key: null })).status).toBe(200);
    const ok = { status: 'ok', error: null } as const;
    app.services.health.readiness = async () => ({
      status: 'failed',
      checks: { temporal: { status: 'failed', error: 'away' }, store: ok, workers: ok },
    });
    const answer = await app.call('GET', '/readyz', { key: null });
    expect([answer.status, answer.body.checks.temporal.error]).toEqual([503, 'away']);
  });
});

describe('every answer', () => {
  it('has headers that fit an API, and says nothing of the framework', async () => {
    for (const path of ['/healthz', '/v1/sessions', '/nothing']) {
      const { headers } = await app.call('GET', path);
      expect(headers.get('x-powered-by')).toBeNull();
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('access-control-allow-origin')).toBeNull();
      expect(headers.get('cache-control')).toBe('no-store');
    }
  });

  it('has an id of its own, whatever the client sends', async () => {
    const headers = { 'request-id': 'req_mine' };
    const ids = [];
    for (let call = 0; call < 3; call++)
      ids.push((await app.call('GET', '/healthz', { headers })).headers.get('request-id'));
    expect(new Set(ids).size).toBe(3);
    expect(ids).not.toContain('req_mine');
  });

  it('is one line in the log, without secrets, bodies, ids or queries', async () => {
    const answer = await app.call('POST', '/v1/sessions/sess_private/messages?token=hush', {
      body: { content: 'private text' },
      key: 'a-standard',
    });
    await app.call('GET', '/v1/unknown/private');
    while (app.logs.filter((entry) => entry.msg === 'request').length < 2)
      await new Promise((resolve) => setImmediate(resolve));
    const [line, unknown] = app.logs.filter((entry) => entry.msg === 'request');
    expect(line).toMatchObject({
      method: 'POST',
      route: '/v1/sessions/:sessionId/messages',
      status: 400,
      duration_ms: expect.any(Number),
      request_id: answer.headers.get('request-id'),
      key_id: 'key_acct_a_standard',
      aborted: false,
    });
    expect(unknown).toMatchObject({ method: 'GET', route: null, status: 404 });
    expect(JSON.stringify(app.logs)).not.toMatch(/private|hush|a-standard/);
  });
});
