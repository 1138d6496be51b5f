// The client for URLs that others have named: what it dials, what it makes of bad peers, and what it says of them.
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer, type Socket, type Server as TcpServer } from 'node:net';
import { createAllowList, LOOPBACK } from '../../src/egress/allow-list.ts';
import type { Resolve } from '../../src/egress/guard.ts';
import { createPoster, type Poster } from '../../src/egress/post.ts';
import { freePort } from '../support/ports.ts';

const TIMEOUT_MS = 400;

const open: (Server | TcpServer)[] = [];
const posters: Poster[] = [];
afterAll(async () => {
  await Promise.all(posters.map((poster) => poster.close()));
  for (const server of open) {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  }
});

async function listening<T extends Server | TcpServer>(server: T): Promise<number> {
  open.push(server);
  server.listen(await freePort(), '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return (server.address() as AddressInfo).port;
}

const http = (listener: RequestListener) => listening(createHttpServer(listener));
const tcp = (listener: (socket: Socket) => void) => listening(createServer(listener));

function poster(resolve?: Resolve, entries = LOOPBACK): Poster {
  const made = createPoster({
    allowed: createAllowList(entries),
    timeoutMs: TIMEOUT_MS,
    ...(resolve ? { resolve } : {}),
  });
  posters.push(made);
  return made;
}

const post = (url: string, of = poster()) => of.post({ url, headers: { 'x-a': 'b' }, body: '{"a":"é"}' });

it('posts the very bytes, and gives status and headers of the answer', async () => {
  const seen: unknown[] = [];
  const port = await http((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const { method, url, headers } = request;
      seen.push({
        method,
        url,
        a: headers['x-a'],
        connection: headers.connection,
        body: Buffer.concat(chunks).toString(),
      });
      response.writeHead(202, { 'retry-after': '7' }).end('thanks');
    });
  });
  const answer = await post(`http://127.0.0.1:${port}/hook?x=1`);
  expect(answer).toMatchObject({ statusCode: 202, headers: { 'retry-after': '7' } });
  expect(seen).toEqual([
    { method: 'POST', url: '/hook?x=1', a: 'b', connection: 'close', body: '{"a":"é"}' },
  ]);
});

it('follows no redirect', async () => {
  let calls = 0;
  const port = await http((_request, response) => {
    calls += 1;
    response.writeHead(301, { location: '/elsewhere' }).end();
  });
  expect((await post(`http://127.0.0.1:${port}/`)).statusCode).toBe(301);
  expect(calls).toBe(1);
});

it('reads no more of an answer than is of use', async () => {
  let hungUp: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    hungUp = resolve;
  });
  const port = await http((_request, response) => {
    response.on('close', hungUp);
    const chunk = Buffer.alloc(16_384);
    const more = (): void => {
      if (!response.destroyed) response.write(chunk, () => setImmediate(more));
    };
    more();
  });
  expect((await post(`http://127.0.0.1:${port}/`)).statusCode).toBe(200);
  await over;
});

describe('says what went wrong, and names no address', () => {
  test.each<[string, () => Promise<string>, RegExp]>([
    [
      'no answer',
      async () => `http://127.0.0.1:${await http(() => undefined)}/`,
      /no whole answer within 0.4 s/,
    ],
    [
      'an answer that drips',
      async () => {
        const port = await http((_request, response) => {
          response.writeHead(200);
          const timer = setInterval(() => response.write('.'), 50);
          response.on('close', () => clearInterval(timer));
        });
        return `http://127.0.0.1:${port}/`;
      },
      /no whole answer within/,
    ],
    [
      'nobody there',
      async () => `http://127.0.0.1:${await freePort()}/`,
      /failed: the connection was refused/,
    ],
    [
      'a reset',
      async () =>
        `http://127.0.0.1:${await tcp((socket) => socket.on('data', () => socket.resetAndDestroy()))}/`,
      /failed: the connection was (reset|closed)/,
    ],
    [
      'a hang-up',
      async () => `http://127.0.0.1:${await tcp((socket) => socket.on('data', () => socket.end()))}/`,
      /failed: the connection was closed before an answer/,
    ],
    [
      'no TLS',
      async () => `https://127.0.0.1:${await http((_q, response) => response.end())}/`,
      /failed: (TLS|EPROTO)/,
    ],
    [
      'no HTTP',
      async () => `http://127.0.0.1:${await tcp((s) => s.on('data', () => s.end('hello\r\n\r\n')))}/`,
      /failed: the answer is not HTTP/,
    ],
    ['a private address', async () => 'https://10.0.0.1/', /not called: its host has no public address/],
    ['no such name', async () => 'https://nowhere.invalid/', /not called: its host has no public address/],
  ])('%s', async (_name, url, words) => {
    const resolve: Resolve = async () => Promise.reject(new Error('ENOTFOUND'));
    const failure = await post(await url(), poster(resolve)).catch((error: Error) => error);
    expect(failure).toMatchObject({ name: 'PostFailed', message: expect.stringMatching(words) });
    expect(String((failure as Error).message)).not.toMatch(/127\.0\.0\.1|::1/);
  });
});

describe('a name', () => {
  it('is dialled at the address that was checked, whatever it leads to a moment later', async () => {
    const port = await http((request, response) => response.end(request.headers.host));
    const answers = ['127.0.0.1', '127.0.0.1', '10.0.0.1'];
    const asked: string[] = [];
    const rebinding: Resolve = async (name) => {
      asked.push(name);
      return [{ address: answers[asked.length - 1] ?? '10.0.0.1', family: 4 }];
    };
    expect((await post(`http://receiver.test:${port}/`, poster(rebinding))).statusCode).toBe(200);
    // Before the request and as it dials; the socket itself asks nobody.
    expect(asked).toEqual(['receiver.test', 'receiver.test']);
  });

  it('that leads inside by the time it is dialled is not called', async () => {
    const port = await http((_request, response) => response.end());
    let asked = 0;
    const rebinding: Resolve = async () => {
      asked += 1;
      return [{ address: asked === 1 ? '127.0.0.2' : '127.0.0.1', family: 4 }];
    };
    await expect(post(`http://receiver.test:${port}/`, poster(rebinding, ['127.0.0.2']))).rejects.toThrow(
      'not called',
    );
  });

  // The kernel takes this address for loopback: what is dialled is not what was asked for, and only the socket tells.
  it('that leads to an address behind which another one answers is not called', async () => {
    let calls = 0;
    const port = await http((_request, response) => {
      calls += 1;
      response.end();
    });
    const unspecified: Resolve = async () => [{ address: '0.0.0.0', family: 4 }];
    await expect(post(`http://receiver.test:${port}/`, poster(unspecified, ['0.0.0.0']))).rejects.toThrow(
      'not called',
    );
    expect(calls).toBe(0);
  });

  it('that no name server answers for ends with the time', async () => {
    const never: Resolve = () => new Promise(() => undefined);
    await expect(post('https://receiver.test/', poster(never))).rejects.toThrow('no whole answer within');
  });
});
