// What no client of a WebSocket should send: broken frames, floods, and half a connection. Others do not notice.
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { eventually } from '../support/api-client.ts';
import { openSocket, type TestSocket } from '../support/socket-client.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';
import { hold } from './support/raw-http.ts';

let system: TestSystem;
let mine: string;
const opened: TestSocket[] = [];
beforeAll(async () => {
  system = await startTestSystem();
  mine = (await system.api.session()).id;
});
afterAll(async () => {
  for (const { socket } of opened) socket.terminate();
  await system.stop();
});

const port = () => Number(new URL(system.url).port);

async function connect(): Promise<TestSocket> {
  const socket = await openSocket(`${system.url}/v1/sessions/${mine}/ws`, { key: system.adminKey });
  opened.push(socket);
  return socket;
}

const upgrade = () =>
  [
    `GET /v1/sessions/${mine}/ws HTTP/1.1`,
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    'Sec-WebSocket-Version: 13',
    `Authorization: Bearer ${system.adminKey}`,
    '',
    '',
  ].join('\r\n');

/** A connection whose frames are made by hand; what comes back is kept as it is. */
async function raw() {
  let received = Buffer.alloc(0);
  const { socket } = await hold(port(), 'raw', (each) => each.write(upgrade()));
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
  });
  const until = (isSo: (bytes: Buffer) => boolean) => eventually(async () => received, isSo);
  await until((bytes) => bytes.includes('stream.opened'));
  /** The code of the close frame at the end. */
  const closeCode = async () => {
    const bytes = await until((all) => all.lastIndexOf(0x88) > 0 && socket.closed);
    return bytes.readUInt16BE(bytes.lastIndexOf(0x88) + 2);
  };
  return { socket, until, closeCode };
}

/** A client's frame: masked with zeros. */
function frame(opcode: number, payload: Buffer, length = payload.length): Buffer {
  const head = Buffer.alloc(14);
  head[0] = opcode;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}
const TEXT = 0x81;
const PING = 0x89;

it.each([
  [
    'a frame that says it is larger than a megabyte',
    () => frame(TEXT, Buffer.alloc(0), 1024 * 1024 + 1),
    1009,
  ],
  ['a frame of four gigabytes and more', () => frame(TEXT, Buffer.alloc(0), 2 ** 40), 1009],
  [
    'fragments that are larger together',
    () => Buffer.concat([frame(0x01, Buffer.alloc(900_000, ' ')), frame(0x80, Buffer.alloc(900_000, ' '))]),
    1009,
  ],
  ['text that is not UTF-8', () => frame(TEXT, Buffer.from([0x22, 0xff, 0x22])), 1007],
  ['half of a character', () => frame(TEXT, Buffer.from([0xf0, 0x9f])), 1007],
  ['an opcode that there is not', () => frame(0x83, Buffer.alloc(0)), 1002],
  ['the rest of nothing', () => frame(0x80, Buffer.alloc(3)), 1002],
  ['a compressed frame that was not agreed on', () => frame(0xc1, Buffer.alloc(3)), 1002],
  ['a frame without a mask', () => Buffer.from([TEXT, 2, 0x7b, 0x7d]), 1002],
  ['a long control frame', () => frame(PING, Buffer.alloc(126)), 1002],
  ['a close with a code that is none', () => frame(0x88, Buffer.from([0, 1])), 1002],
])('%s ends its connection', async (_title, bytes, code) => {
  const { socket, closeCode } = await raw();
  socket.write(bytes());
  // As a client does that has read the close.
  socket.once('data', () => socket.end());
  expect(await closeCode()).toBe(code);
  expect((await system.api.get('/healthz')).status).toBe(200);
});

it('a frame of a megabyte is taken, in fragments too', async () => {
  const tab = await connect();
  const text = `{"type":"ping"${' '.repeat(1024 * 1024 - 15)}}`;
  tab.send(text);
  tab.socket.send(text.slice(0, 1_000), { fin: false });
  tab.socket.send(text.slice(1_000), { fin: true });
  await eventually(
    async () => tab.frames.filter(({ type }) => type === 'pong').length,
    (count) => count === 2,
  );
});

it.each(['{}', '1.0'])('a frame of very many %s is refused, and the connection stays', async (item) => {
  const tab = await connect();
  tab.send(`{"type":"tool_result","result":[${Array(250_000).fill(item).join(',')}]}`);
  await eventually(
    async () => tab.frames.find(({ type }) => type === 'error')?.code,
    (code) => code === 'payload_too_large',
  );
  expect(await tab.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
});

it('a connection that is cut off in a frame, or in its handshake, leaves nothing behind', async () => {
  const { socket } = await raw();
  socket.write(frame(TEXT, Buffer.from('{"type":'), 100));
  socket.resetAndDestroy();
  const half = await hold(port(), 'half', (each) => each.write(upgrade().slice(0, 60)));
  half.socket.resetAndDestroy();
  const whole = await hold(port(), 'whole', (each) => each.write(upgrade()));
  whole.socket.resetAndDestroy();
  expect((await system.api.get('/healthz')).status).toBe(200);
});

it('10,000 pings at once are answered a hundred a second, the others refused, and nobody else waits', async () => {
  const [flood, calm] = [await connect(), await connect()];
  for (let count = 0; count < 10_000; count += 1) flood.socket.send('{"type":"ping"}');
  for (let count = 0; count < 20; count += 1) {
    const askedAt = performance.now();
    expect(await calm.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
    expect(performance.now() - askedAt).toBeLessThan(1_000);
  }
  const answers = () => flood.frames.slice(1);
  await eventually(
    async () => answers().length,
    (count) => count >= 5_000,
  );
  const refused = answers().filter(({ code }) => code === 'rate_limited').length;
  expect(refused).toBeGreaterThan(answers().length / 2);
  expect(answers()[0]).toMatchObject({ type: 'pong' });
  flood.socket.terminate();
});

it('10,000 pings of the protocol, unread, end their connection at most', async () => {
  const { socket } = await raw();
  socket.pause();
  for (let count = 0; count < 10_000; count += 1) socket.write(frame(PING, Buffer.alloc(100)));
  expect((await system.api.get('/healthz')).status).toBe(200);
  const calm = await connect();
  expect(await calm.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
  socket.destroy();
});

const anyFrame = fc
  .record({
    opcode: fc.integer({ min: 0, max: 255 }),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .record({ type: fc.constantFrom('ping', 'interrupt', 'subscribe', 'x'), a: fc.jsonValue() })
        .map((value) => Buffer.from(JSON.stringify(value))),
    ),
    isText: fc.boolean(),
  })
  .map(({ opcode, payload, isText }) => frame(isText ? TEXT : opcode, payload));

test('whatever bytes come, in however many pieces, others are served', async () => {
  const calm = await connect();
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyFrame, { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      async (frames, isCut) => {
        const { socket } = await raw();
        const bytes = Buffer.concat(frames);
        for (let at = 0; at < bytes.length; at += 7_000) socket.write(bytes.subarray(at, at + 7_000));
        if (isCut) socket.resetAndDestroy();
        expect(await calm.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
        socket.destroy();
      },
    ),
    { numRuns: 40 },
  );
});
