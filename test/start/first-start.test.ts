// What a person sees who starts the product: the addresses, the key once, a curl to paste, and no key in the logs.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TEMPORAL_CLI } from '../../src/temporal/binary.ts';
import { readRecord, serverFiles } from '../../src/temporal/embedded-record.ts';
import { createApiClient } from '../support/api-client.ts';
import { freePort } from '../support/ports.ts';
import { cleanUp, newDirectory, openclaw, run, type ServerProcess, startServer } from '../support/process.ts';
import { listeningPorts } from '../support/tcp-table.ts';

afterAll(cleanUp);

const KEY = /oclaw_live_[A-Za-z0-9]+/g;
const keysIn = (text: string): string[] => text.match(KEY) ?? [];
const linesOf = (text: string, start: string): string[] =>
  text.split('\n').filter((line) => line.startsWith(start));

/** Whether a plain HTTP request gets a plain HTTP answer there. */
const answersHttp = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) }).then(
    () => true,
    () => false,
  );

const keyFileOf = (server: ServerProcess): string => join(server.dataDir, 'admin.key');

describe('the first start', () => {
  let server: ServerProcess;
  let key: string;

  beforeAll(async () => {
    server = await startServer();
    key = readFileSync(keyFileOf(server), 'utf8').trim();
  });

  it('prints one ready line, first, with the address of the chosen port', () => {
    const [first] = server.stdout().split('\n');
    expect(linesOf(server.stdout(), 'OpenClaw ready at ')).toEqual([first]);
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`);
  });

  it('prints where the API is described and where Temporal can be seen, and both answer', async () => {
    const addresses = server.stdout().match(/http:\/\/127\.0\.0\.1:\d+[\w/.]*/g) ?? [];
    expect(addresses).toContain(`${server.url}/v1`);
    const description = await fetch(`${server.url}/openapi.json`);
    expect(addresses).toContain(description.url);
    expect(await description.json()).toHaveProperty('openapi');
    const [temporalUi = ''] = linesOf(server.stdout(), '  Temporal UI ');
    const answer = await fetch(temporalUi.replace('  Temporal UI ', ''));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('text/html');
  });

  it('says that the simulator answers, how to get Claude, and that webhooks may go to this machine', () => {
    expect(server.stdout()).toMatch(/simulator.*ANTHROPIC_API_KEY/);
    expect(server.stdout()).toMatch(/Webhooks .*this machine/);
  });

  it('prints the admin key once', () => {
    expect(keysIn(server.stdout())).toEqual([key]);
  });

  it('keeps the key in admin.key: the key and a newline, readable by its owner only', () => {
    expect(readFileSync(keyFileOf(server), 'utf8')).toBe(`${key}\n`);
    expect(statSync(keyFileOf(server)).mode & 0o777).toBe(0o600);
  });

  it('keeps all other secrets and data from other users too', () => {
    expect(statSync(server.dataDir).mode & 0o077).toBe(0);
    expect(statSync(join(server.dataDir, 'secret.key')).mode & 0o777).toBe(0o600);
  });

  it('prints a curl that streams an answer when it is pasted into a shell', async () => {
    const [pasted = ''] = linesOf(server.stdout(), '  KEY=');
    const { code, stdout } = await run('bash', ['-c', pasted]);
    expect(code).toBe(0);
    expect(stdout).toContain('event: content_delta');
    const [final = ''] = linesOf(stdout, 'data: ').slice(-1);
    expect(JSON.parse(final.slice('data: '.length))).toMatchObject({
      type: 'message',
      message: { status: 'completed', role: 'assistant' },
    });
  });

  it('lets no webhook reach its Temporal server, which does what anybody asks', async () => {
    const ports = listeningPorts(server.temporal()?.pid ?? 0);
    const speakHttp = await Promise.all(ports.map(answersHttp));
    const uiPort = Number(/Temporal UI \S+:(\d+)/.exec(server.stdout())?.[1]);
    const uiBackend = readRecord(serverFiles(server.dataDir, TEMPORAL_CLI.version))?.ports.uiBackend ?? 0;
    // The HTTP API, the metrics and the UI; the ports of Temporal's own parts speak gRPC alone.
    const dangerous = [uiPort, uiBackend, ...ports.filter((_, index) => speakHttp[index])];
    expect(dangerous.length).toBeGreaterThanOrEqual(4);
    const create = (port: number, host: string) =>
      server.api.post('/v1/webhooks', { url: `http://${host}:${port}/api/v1/namespaces`, events: ['*'] });
    for (const host of ['127.0.0.1', 'localhost']) {
      for (const port of dangerous)
        expect(await create(port, host)).toMatchObject({ status: 400, body: { error: { param: 'url' } } });
      const { status, body } = await create(await freePort(), host);
      expect(status).toBe(201);
      await server.api.delete(`/v1/webhooks/${body.id}`);
    }
  });

  it('lets no webhook reach the Temporal server that it is given instead', async () => {
    const address = linesOf(server.stderr(), '{')
      .map((line) => JSON.parse(line).address)
      .find(Boolean);
    const other = await startServer({ env: { TEMPORAL_ADDRESS: address } });
    const create = (target: string) =>
      other.api.post('/v1/webhooks', { url: `http://${target}/api/v1/namespaces`, events: ['*'] });
    expect(await create(address)).toMatchObject({ status: 400, body: { error: { param: 'url' } } });
    expect((await create(`127.0.0.1:${await freePort()}`)).status).toBe(201);
  });

  it('is ready for calls when it says so', async () => {
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    expect(await (await fetch(`${server.url}/readyz`)).json()).toMatchObject({ status: 'ok' });
  });

  it('logs JSON lines, and no key in any of them, also when a call fails', async () => {
    await server.api.get('/v1/api-keys');
    await createApiClient(server.url, `${key.slice(0, -1)}x`).get('/v1/sessions');
    await server.api.get(`/v1/sessions/${key}`);
    await server.api.get(`/v1/sessions?cursor=${key}`);
    const { body: created } = await server.api.post('/v1/api-keys', { name: 'ci', level: 'standard' });
    await createApiClient(server.url, created.key).get('/v1/sessions');
    const lines = server.stderr().trim().split('\n');
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines) {
      expect(JSON.parse(line)).toHaveProperty('msg');
      // Written again it is the same: no field stands in it twice.
      expect(JSON.stringify(JSON.parse(line))).toBe(line);
    }
    for (const secret of [key, created.key, readFileSync(join(server.dataDir, 'secret.key'), 'utf8').trim()])
      expect(server.stderr()).not.toContain(secret);
    expect(keysIn(server.stderr())).toEqual([]);
  });

  describe('and the second', () => {
    let again: ServerProcess;

    beforeAll(async () => {
      await server.stop();
      again = await startServer({ dataDir: server.dataDir, port: server.port });
    });

    it('prints no key, but the file that holds it', () => {
      expect(keysIn(again.stdout() + again.stderr())).toEqual([]);
      expect(again.stdout()).toContain(keyFileOf(server));
      expect(linesOf(again.stdout(), 'OpenClaw ready at ')).toHaveLength(1);
    });

    it('takes the same key and has the same sessions', async () => {
      expect(again.api.key).toBe(key);
      const { status, body } = await again.api.get('/v1/sessions');
      expect(status).toBe(200);
      expect(body.data).toHaveLength(1);
    });
  });
});

describe('a start with OPENCLAW_API_KEY', () => {
  const key = 'a-key-that-the-operator-brings';
  let server: ServerProcess;

  beforeAll(async () => {
    server = await startServer({
      // Empty variables count as unset, also those that would not be a number or an address.
      env: {
        OPENCLAW_API_KEY: key,
        ANTHROPIC_API_KEY: '',
        ANTHROPIC_BASE_URL: '',
        TEMPORAL_ADDRESS: '',
        HOST: '',
      },
    });
  });

  it('makes it the first admin key', async () => {
    expect(readFileSync(keyFileOf(server), 'utf8')).toBe(`${key}\n`);
    expect((await createApiClient(server.url, key).get('/v1/api-keys')).status).toBe(200);
  });

  it('prints the file that holds it, and never the key', () => {
    expect(server.stdout()).toContain(`Admin key   in ${keyFileOf(server)}`);
    expect(server.stdout() + server.stderr()).not.toContain(key);
  });

  it('takes empty variables as unset: the simulator, the own Temporal server, the default host', () => {
    expect(server.stdout()).toContain('simulator');
    expect(server.temporal()).toBeDefined();
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`);
  });

  it('warns of another value later, and goes on with the first', async () => {
    await server.stop();
    const other = 'another-key-of-the-operator';
    const again = await startServer({ dataDir: server.dataDir, env: { OPENCLAW_API_KEY: other } });
    expect(again.stderr()).toMatch(/OPENCLAW_API_KEY is not a key of this data directory/);
    expect(again.stdout() + again.stderr()).not.toContain(other);
    expect((await createApiClient(again.url, other).get('/v1/sessions')).status).toBe(401);
    expect((await createApiClient(again.url, key).get('/v1/sessions')).status).toBe(200);
    await again.stop();
  });
});

describe('a start that was killed', () => {
  it('leaves a directory from which the next start works, with the key of admin.key', async () => {
    const dataDir = newDirectory();
    const first = await startServer({ dataDir });
    const temporal = first.temporal();
    first.kill('SIGKILL');
    await first.exit;
    const second = await startServer({ dataDir, port: first.port });
    expect((await second.api.get('/v1/sessions')).status).toBe(200);
    // The Temporal server that was left over is taken over, not doubled.
    expect(second.temporal()?.pid).toBe(temporal?.pid);
    await second.stop();
    expect(second.temporal()).toBeUndefined();
  });
});

test('the version of the command line answers without any data directory', async () => {
  const { code, stdout } = await openclaw(['--help'], {});
  expect(code).toBe(0);
  expect(stdout).toMatch(/dev.*[\s\S]*doctor[\s\S]*keys/);
});
