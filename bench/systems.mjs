// The measured systems behind one interface: OpenClaw as built, and peers through their own scripts.
import { execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { call, eachEvent, timeToEvent } from './client.mjs';

const KEY = 'bench-key-0123456789';
const READY_MS_MAX = 60_000;
/** A peer's first start includes an installation from a registry. */
const PEER_START_MS_MAX = 600_000;

/** Picks a random port. Ports chosen by the system also go to outgoing connections, and a restart needs the same port. */
export async function freePort() {
  for (;;) {
    const server = createServer();
    const port = randomInt(15_000, 32_000);
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

async function until(condition, what) {
  const deadline = Date.now() + READY_MS_MAX;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`It never came true that ${what}`);
    await sleep(10);
  }
}

const hasText = (event) => event.type === 'content_delta' && Boolean(event.text);

/** The client calls over HTTP and WebSockets. */
function clientOf(url) {
  const headers = { authorization: `Bearer ${KEY}` };
  const ask = (id, content) => call('POST', `${url}/sessions/${id}/messages`, { content }, headers);

  /** A WebSocket that follows the session. */
  async function connect(id, query = '') {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/sessions/${id}/ws${query}`, { headers });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return socket;
  }

  return {
    /** @param settings of the session, in addition to its model. */
    create: async (settings) =>
      (await call('POST', `${url}/sessions`, { model: 'claude-haiku', ...settings }, headers)).id,
    update: (id, settings) => call('PATCH', `${url}/sessions/${id}`, settings, headers),
    ask,
    send: async (id, content) => (await ask(id, content)).content,
    message: (id, messageId) =>
      call('GET', `${url}/sessions/${id}/messages/${messageId}`, undefined, headers),
    /** Submits the result of a client tool's call. */
    answer: (id, body) => call('POST', `${url}/sessions/${id}/tool-results`, body, headers),
    timeToFirstToken: (id, content) =>
      timeToEvent(`${url}/sessions/${id}/messages`, { content, stream: true }, headers, hasText),
    connect,
    /** Calls `onText` with each piece of a reply, up to the end. */
    eventStream: (id, content, onText) =>
      eachEvent(`${url}/sessions/${id}/messages`, { content, stream: true }, headers, (event) => {
        if (hasText(event)) onText(event.text);
      }),
    /** Like `eventStream`, over a WebSocket. */
    async socketStream(id, content, onText) {
      const socket = await connect(id);
      await new Promise((resolve, reject) => {
        socket.on('error', reject).on('message', (data) => {
          const event = JSON.parse(data);
          if (hasText(event)) onText(event.text);
          if (event.type === 'error') reject(new Error(event.message));
          if (event.type === 'message') resolve();
        });
        socket.send(JSON.stringify({ type: 'message', content }));
      });
      socket.close();
    },
    history: async (id) =>
      (await call('GET', `${url}/sessions/${id}/messages?limit=100`, undefined, headers)).data,
    /** Bytes of a session's events, as a client reads them. */
    async logBytes(id) {
      let bytes = 0;
      for (let after = 0, hasMore = true; hasMore; ) {
        const page = await call(
          'GET',
          `${url}/sessions/${id}/events?limit=100&after=${after}`,
          undefined,
          headers,
        );
        bytes += Buffer.byteLength(JSON.stringify(page.data));
        after = page.data.at(-1)?.seq ?? after;
        hasMore = page.has_more;
      }
      return bytes;
    },
    complete: (id) => call('POST', `${url}/sessions/${id}/complete`, undefined, headers),
    /** Creates a webhook for all events. @returns its id. */
    createWebhook: async (target) =>
      (await call('POST', `${url}/webhooks`, { url: target, events: ['*'] }, headers)).id,
    updateWebhook: (id, fields) => call('PATCH', `${url}/webhooks/${id}`, fields, headers),
    /** Queues the events of a time range for the webhook. @returns their number. */
    replay: async (id, from, to) =>
      (await call('POST', `${url}/webhooks/${id}/replay`, { from, to }, headers)).count,
    /** True if the webhook has pending deliveries. */
    owes: async (id) =>
      (await call('GET', `${url}/webhooks/${id}/deliveries?status=pending&limit=1`, undefined, headers)).data
        .length > 0,
  };
}

/** The built product in an empty directory: one process and its embedded Temporal server, everything on disk. */
export async function startOpenClaw(modelUrl, nodeArguments = []) {
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-bench-'));
  const port = await freePort();
  const outputFile = join(directory, 'output.log');
  let child;

  async function start() {
    const output = openSync(outputFile, 'w');
    const errors = openSync(join(directory, 'errors.log'), 'a');
    const env = {
      ...process.env,
      PORT: String(port),
      OPENCLAW_DATA_DIR: join(directory, 'data'),
      OPENCLAW_API_KEY: KEY,
      OPENCLAW_RATE_LIMIT_PER_MINUTE: '100000000',
      ANTHROPIC_BASE_URL: modelUrl,
      ANTHROPIC_API_KEY: 'double',
    };
    const main = join(import.meta.dirname, '..', 'dist', 'main.js');
    child = spawn(process.execPath, [...nodeArguments, main, 'dev'], {
      env,
      stdio: ['ignore', output, errors],
    });
    const { exitCode } = child;
    await until(() => {
      if (exitCode !== child.exitCode) throw new Error(readFileSync(join(directory, 'errors.log'), 'utf8'));
      return readFileSync(outputFile, 'utf8').includes('OpenClaw ready');
    }, 'OpenClaw is ready');
  }

  function temporalPid() {
    const versions = join(directory, 'data', 'temporal');
    const [version] = readdirSync(versions);
    return JSON.parse(readFileSync(join(versions, version, 'server.json'), 'utf8')).process.pid;
  }

  const exited = () => new Promise((resolve) => child.once('exit', resolve));
  await start();
  return {
    name: 'openclaw',
    directory: join(directory, 'data'),
    roots: () => [child.pid, temporalPid()],
    start,
    ...clientOf(`http://127.0.0.1:${port}/v1`),
    async kill() {
      const gone = exited();
      child.kill('SIGKILL');
      await gone;
    },
    async stop() {
      const gone = exited();
      child.kill('SIGTERM');
      await gone;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const PEERS = {
  restate: {
    port: 18_500,
    send: (base, id, text) => call('POST', `${base}/session/${id}/message`, { text }),
    create: async (base) => {
      const id = crypto.randomUUID();
      await call('POST', `${base}/session/${id}/create`);
      return id;
    },
    streamUrl: (base, id) => `http://127.0.0.1:${Number(new URL(base).port) + 4}/stream/${id}`,
  },
  dbos: { port: 18_600 },
  'temporal-min': { port: 18_900 },
};
export const PEER_NAMES = Object.keys(PEERS);

const usual = {
  send: (base, id, text) => call('POST', `${base}/sessions/${id}/messages`, { text }),
  create: async (base) => (await call('POST', `${base}/sessions`)).id,
  streamUrl: (base, id) => `${base}/sessions/${id}/messages`,
};

/** A peer, started by its own script from empty data. The first start installs it. */
export async function startPeer(name, modelUrl, peersDirectory) {
  const peer = { ...usual, ...PEERS[name] };
  const root = process.env.BENCH_ROOT ?? join(tmpdir(), 'bench-peers');
  const script = join(peersDirectory, name, 'run.sh');
  const run = (...words) =>
    execFileSync(script, words, {
      env: { ...process.env, MOCK_URL: modelUrl, BENCH_ROOT: root },
      timeout: PEER_START_MS_MAX,
      stdio: 'ignore',
    });
  run('wipe');
  run(String(peer.port));
  const base = `http://127.0.0.1:${peer.port}`;
  const pids = join(root, 'run', name);
  return {
    name,
    roots: () =>
      readdirSync(pids)
        .filter((file) => file.endsWith('.pid'))
        .map((file) => Number(readFileSync(join(pids, file), 'utf8'))),
    create: () => peer.create(base),
    send: async (id, text) => (await peer.send(base, id, text)).content,
    timeToFirstToken: (id, text) =>
      timeToEvent(
        peer.streamUrl(base, id),
        name === 'restate' ? { text } : { text, stream: true },
        {},
        hasText,
      ),
    stop: async () => run('wipe'),
  };
}
