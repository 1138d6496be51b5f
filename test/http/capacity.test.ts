// Connections and what is held open on them: each has a bound, and a server that is full lives and serves again.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { capacityOf } from '../../src/http/capacity.ts';
import { networkOf } from '../../src/http/client-network.ts';
import { eventually } from '../support/api-client.ts';
import { openSocket, refusalOf } from '../support/socket-client.ts';
import { addSession } from './support/fake-services.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

/** Of 32 connections 8 may be idle from one network, 16 open for a key, 4 for a token and 24 for a network. */
const CONNECTIONS = 32;

let app: Harness;
let path: string;
let held: Socket[];
let abort: AbortController;
beforeEach(async () => {
  app = await startHarness({ maxConnections: CONNECTIONS });
  path = `/v1/sessions/${addSession(app).id}/events`;
  held = [];
  abort = new AbortController();
  // Streams that stay open and say nothing.
  app.script.events = async function* (signal) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  };
});
afterEach(async () => {
  jest.restoreAllMocks();
  abort.abort();
  for (const socket of held) socket.destroy();
  await app.close();
});

const hold = (text = '', from?: string): Promise<Socket> => holdAt(app.http.port, text, from);

/** Each address of 127.0.0.0/8 counts as a network of its own. */
async function holdAt(port: number, text = '', from = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from });
  held.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}

/** Without its end, for more headers. */
const request = (target: string, method = 'GET'): string =>
  `${method} ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-admin\r\n`;

async function follow(key = 'a-admin'): Promise<Response> {
  return fetch(app.url + path, {
    headers: { Authorization: `Bearer ${key}`, Accept: 'text/event-stream', Origin: 'https://x' },
    signal: abort.signal,
  });
}

const untilOpen = (count: number) =>
  eventually(
    () => new Promise<number>((resolve) => app.http.server.getConnections((_error, open) => resolve(open))),
    (open) => open === count,
  );

describe('idle connections', () => {
  it.each([
    ['that send nothing', ''],
    ['that send half a request', 'GET /v1/models HTTP/1.1\r\nHost: x\r\n'],
  ])('%s: the oldest of a network make room for new ones', async (_title, text) => {
    for (let count = 0; count < 100; count += 1) await hold(text);
    await untilOpen(CONNECTIONS);
    expect((await app.call('GET', '/v1/models')).status).toBe(200);
    expect(held.at(-1)?.destroyed).toBe(false);
  });

  it('of one network are closed above its share once half of all are in use and they are idle for a while', async () => {
    for (let count = 0; count < CONNECTIONS / 2; count += 1) await hold();
    await untilOpen(CONNECTIONS / 2);
    const now = performance.now();
    jest.spyOn(performance, 'now').mockImplementation(() => now + 10_000);
    for (let count = 0; count < CONNECTIONS / 2; count += 1) await hold();
    await untilOpen(CONNECTIONS / 2);
  });

  it('that have only just come are left to send their calls', async () => {
    const sockets = [];
    for (let count = 1; count < CONNECTIONS; count += 1) sockets.push(await hold());
    const answers = sockets.map(async (socket) => {
      socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
      return String(await once(socket, 'data'));
    });
    for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^HTTP\/1.1 200 /);
  });

  it('of a trusted proxy may be any number while there is room', async () => {
    const behindProxy = await startHarness({ maxConnections: CONNECTIONS, trustedProxies: ['127.0.0.1'] });
    const now = performance.now();
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now);
    const sockets = [];
    for (let count = 0; count < CONNECTIONS; count += 1) {
      clock.mockImplementation(() => now + count * 2_000);
      sockets.push(await holdAt(behindProxy.http.port));
    }
    expect((await behindProxy.call('GET', '/v1/models')).status).toBe(200);
    expect(sockets.filter(({ destroyed }) => destroyed)).toHaveLength(1);
    await behindProxy.close();
  });

  it('are not those on which a call is being answered', async () => {
    const answer = follow();
    for (let count = 0; count < 100; count += 1) await hold();
    expect((await answer).status).toBe(200);
    await untilOpen(CONNECTIONS);
  });
});

describe('streams, WebSockets and waiting calls', () => {
  it('are refused above the share of their key, which can still call, and are taken again when others end', async () => {
    const opened = await Promise.all(Array.from({ length: CONNECTIONS / 2 }, () => follow()));
    expect(opened.map(({ status }) => status)).toEqual(Array(CONNECTIONS / 2).fill(200));
    const refused = await app.call('GET', path, { headers: { Accept: 'text/event-stream' } });
    expectError(refused, 429, 'rate_limited');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    const body = { content: 'Hello' };
    const messages = path.replace('events', 'messages');
    expectError(await app.call('POST', messages, { body }), 429, 'rate_limited');
    expect(app.calls.filter(({ name }) => name === 'messages.accept')).toEqual([]);
    const socketUrl = app.url + path.replace('events', 'ws');
    expect((await refusalOf(socketUrl, { key: 'a-admin' })).status).toBe(429);
    expect((await app.call('GET', path)).status).toBe(200);
    await opened[0]?.body?.cancel();
    await eventually(follow, ({ status }) => status === 200);
  });

  it('are not messages in the background, nor tool results that nobody waits for', async () => {
    for (let count = 0; count < CONNECTIONS / 2; count += 1) await follow();
    const send = (body: object, headers = {}) =>
      app.call('POST', path.replace('events', 'messages'), { body: { content: 'Hello', ...body }, headers });
    expect((await send({ background: true })).status).toBe(202);
    expect((await send({}, { Prefer: 'respond-async' })).status).toBe(202);
    // What waits or streams is refused, whatever it accepts.
    expect((await send({ stream: true })).status).toBe(429);
    expect((await send({}, { Accept: 'application/json' })).status).toBe(429);
    const submit = (body: object) =>
      app.call('POST', path.replace('events', 'tool-results'), {
        body: { tool_call_id: 'call_missing', result: 1, ...body },
      });
    // It is looked up, so it passed.
    expect((await submit({})).status).not.toBe(429);
    for (const how of ['wait', 'stream']) expectError(await submit({ [how]: true }), 429, 'rate_limited');
  });

  it('of WebSockets count as well', async () => {
    const socketUrl = app.url + path.replace('events', 'ws');
    const tabs = [];
    for (let count = 0; count < 4; count += 1) tabs.push(await openSocket(socketUrl, { key: 'a-token' }));
    expect((await refusalOf(socketUrl, { key: 'a-token' })).body.error.code).toBe('rate_limited');
    for (const tab of tabs) await tab.close();
    const last = await eventually(
      () => openSocket(socketUrl, { key: 'a-token' }).catch(() => null),
      (tab) => tab !== null,
    );
    await last?.close();
  });

  it('that are pipelined count one after the other', async () => {
    await hold(`${request(path)}Accept: text/event-stream\r\n\r\n`.repeat(CONNECTIONS / 2));
    for (let count = 1; count < CONNECTIONS / 2; count += 1) expect((await follow()).status).toBe(200);
    await eventually(follow, ({ status }) => status === 429);
  });

  it('of one token leave the rest to its key', async () => {
    const statuses = [];
    for (let count = 0; count < 5; count += 1) statuses.push((await follow('a-token')).status);
    expect(statuses).toEqual([200, 200, 200, 200, 429]);
    expect((await follow('a-standard')).status).toBe(200);
  });

  it('of one network are bounded over all keys', async () => {
    const all = [];
    for (const key of ['a-admin', 'a-standard', 'a-read-only'])
      for (let count = 0; count < CONNECTIONS / 2 - 4; count += 1) all.push((await follow(key)).status);
    expect(all.filter((status) => status === 200)).toHaveLength((CONNECTIONS * 3) / 4);
    expect(all.at(-1)).toBe(429);
    expect((await app.call('GET', '/v1/models')).status).toBe(200);
  });
});

describe('connections that wait for their clients', () => {
  const NEWCOMER = '127.0.0.99';
  const halfSent = `${request('/v1/sessions', 'POST')}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{`;
  /** More than the system takes for a client that does not read. */
  const unread = `${request('/readyz')}\r\n`.repeat(50);
  let serverEnds: Socket[];
  beforeEach(async () => {
    serverEnds = [];
    app.http.server.on('connection', (socket) => serverEnds.push(socket));
    const { checks } = await app.services.health.readiness();
    const store = { status: 'failed', error: 'x'.repeat(1_000_000) } as const;
    app.services.health.readiness = async () => ({ status: 'failed', checks: { ...checks, store } });
  });

  async function statusOf(from: string): Promise<string | undefined> {
    const socket = await hold(`${request('/v1/models')}\r\n`, from);
    const answer = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    return /^HTTP\/1.1 (\d+)/.exec(String(answer[0]))?.[1];
  }

  const untilServerEnds = (satisfied: (sockets: Socket[]) => boolean) =>
    eventually(async () => serverEnds, satisfied);

  const closed = (): number[] => [...serverEnds.keys()].filter((index) => serverEnds[index]?.destroyed);

  function passSeconds(seconds: number): void {
    const now = performance.now();
    jest.spyOn(performance, 'now').mockImplementation(() => now + seconds * 1_000);
  }

  it.each([
    ['send half a body', halfSent, (socket: Socket) => socket.bytesRead === halfSent.length],
    ['read no answers', unread, (socket: Socket) => socket.writableLength > 0],
    ['have only just connected', '', () => true],
  ])('and %s: the network with most of them makes room for others', async (_title, text, isHeld) => {
    for (let count = 0; count < CONNECTIONS; count += 1) await hold(text);
    await untilServerEnds((sockets) => sockets.length === CONNECTIONS && sockets.every(isHeld));
    for (let count = 0; count < 3; count += 1) expect(await statusOf(NEWCOMER)).toBe('200');
    expect(closed()).toEqual([0, 1, 2]);
  });

  it('from many networks with few each: after a second the oldest of a network with most makes room', async () => {
    for (let count = 0; count < CONNECTIONS; count += 1)
      await hold(halfSent, count < 20 ? `127.0.0.${10 + count}` : `127.0.0.${40 + (count % 6)}`);
    await untilServerEnds((sockets) => sockets.every(({ bytesRead }) => bytesRead === halfSent.length));
    expect(await statusOf(NEWCOMER)).toBe('503');
    passSeconds(2);
    expect(await statusOf(NEWCOMER)).toBe('200');
    expect(await statusOf(NEWCOMER)).toBe('200');
    // The one that was refused came as number 32.
    await untilServerEnds((sockets) => sockets[CONNECTIONS]?.destroyed === true);
    expect(closed()).toEqual([20, 21, CONNECTIONS]);
  });

  it('behind a trusted proxy: the client with most calls makes room', async () => {
    const behindProxy = await startHarness({ maxConnections: CONNECTIONS, trustedProxies: ['127.0.0.1'] });
    behindProxy.http.server.on('connection', (socket) => serverEnds.push(socket));
    for (let count = 0; count < CONNECTIONS; count += 1) {
      const client = count < 20 ? `192.0.2.${count}` : '192.0.2.99';
      const call = halfSent.replace('\r\n', `\r\nX-Forwarded-For: ${client}\r\n`);
      await holdAt(behindProxy.http.port, call);
      await untilServerEnds((sockets) => sockets.at(-1)?.bytesRead === call.length);
    }
    passSeconds(2);
    expect((await behindProxy.call('GET', '/v1/models')).status).toBe(200);
    expect(closed()).toEqual([20]);
    await behindProxy.close();
  });
});

it('a full server answers 503 with a reason, its probes as ever, and serves again when there is room', async () => {
  // Each connection has a call that the server works on.
  const answers: (() => void)[] = [];
  const readiness = await app.services.health.readiness();
  app.services.health.readiness = () =>
    new Promise((resolve) => {
      answers.push(() => resolve(readiness));
    });
  for (let count = 0; count < CONNECTIONS; count += 1) await hold(`${request('/readyz')}\r\n`);
  await eventually(
    async () => answers.length,
    (count) => count === CONNECTIONS,
  );
  const now = performance.now();
  jest.spyOn(performance, 'now').mockImplementation(() => now + 10_000);
  const get = (target: string) => app.raw(`${request(target)}Connection: close\r\n\r\n`);
  const refused = await get('/v1/models');
  expect(refused).toMatch(/^HTTP\/1.1 503 /);
  expect(refused).toMatch(/\r\nRetry-After: [1-9]\d*\r\n/);
  expect(refused).toMatch(/\r\nrequest-id: req_/);
  for (const name of ['Limit', 'Remaining', 'Reset'])
    expect(refused).toMatch(new RegExp(`\r\nX-RateLimit-${name}: \\d+\r\n`));
  expect(JSON.parse(refused.slice(refused.indexOf('\r\n\r\n'))).error.code).toBe('unavailable');
  expect(await get('/healthz')).toMatch(/^HTTP\/1.1 200 /);
  for (const answer of answers) answer();
  await eventually(
    () => get('/v1/models'),
    (text) => text.startsWith('HTTP/1.1 200 '),
  );
});

describe('capacity', () => {
  it.each([
    [256, null, 128],
    [1_024, null, 768],
    [65_536, null, 10_000],
    [Infinity, null, 10_000],
    [Infinity, 50_000, 50_000],
    [1_024, 50_000, 768],
    [1_024, 100, 100],
    [64, null, 16],
  ])('with %d descriptors and %p wanted is %d', (descriptors, wanted, connections) => {
    expect(capacityOf(wanted, descriptors).connections).toBe(connections);
  });
});

describe('a network', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:c000:207', '192.0.2.7'],
    ['64:ff9b::192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    [undefined, ''],
  ])('of %s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
