// A start that can't work says why in words that name the thing at fault, exits, and leaves nothing running.

import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { freePort } from '../support/ports.ts';
import {
  cleanUp,
  type Exit,
  newDirectory,
  type ServerOptions,
  spawnServer,
  startServer,
} from '../support/process.ts';

afterAll(cleanUp);

async function refused(
  options: ServerOptions,
): Promise<Exit & { stdout: string; stderr: string; dataDir: string }> {
  const server = spawnServer({ ...options, port: options.port ?? (await freePort()) });
  const how = await server.exit;
  expect(server.temporal()).toBeUndefined();
  return { ...how, stdout: server.stdout(), stderr: server.stderr(), dataDir: server.dataDir };
}

describe('a second start', () => {
  it('on a data directory in use is refused, naming it, and does not disturb the first', async () => {
    const first = await startServer();
    const second = spawnServer({ dataDir: first.dataDir, port: await freePort() });
    expect((await second.exit).code).toBe(1);
    expect(second.stderr()).toContain(first.dataDir);
    expect(second.stderr()).toMatch(/in use by another OpenClaw process/);
    expect(second.stdout()).toBe('');
    const session = await first.api.session();
    expect((await first.api.send(session.id, 'Still there?')).status).toBe('completed');
    await first.stop();
  });
});

describe('a port that another process holds', () => {
  let holder: Server;
  let port: number;
  beforeAll(async () => {
    holder = createServer((_request, response) => response.end('mine'));
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    port = (holder.address() as AddressInfo).port;
  });
  afterAll(() => new Promise((resolve) => holder.close(resolve)));

  it('is named, with the variable that changes it', async () => {
    const { code, stdout, stderr } = await refused({ port });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(new RegExp(`Port ${port} .* in use.*set PORT`));
    expect(await (await fetch(`http://127.0.0.1:${port}`, { headers: { Connection: 'close' } })).text()).toBe(
      'mine',
    );
  });
});

describe('a variable that is wrong', () => {
  const mistakes: [string, Record<string, string>, RegExp][] = [
    ['an unknown OPENCLAW_ name', { OPENCLAW_DATADIR: '/tmp/x' }, /Unknown variable OPENCLAW_DATADIR\b/],
    ['a model address without a scheme', { ANTHROPIC_BASE_URL: 'localhost' }, /ANTHROPIC_BASE_URL: must be/],
    [
      'a model address with a password',
      { ANTHROPIC_BASE_URL: 'https://user:word@127.0.0.1:1/v1?x=1' },
      /ANTHROPIC_BASE_URL: must hold no user or password/,
    ],
    [
      'a models file that is not there',
      { OPENCLAW_MODELS_FILE: '/none.json' },
      /OPENCLAW_MODELS_FILE: \/none\.json can't be read/,
    ],
    [
      'a model key with a line break',
      { ANTHROPIC_API_KEY: 'user:word\n' },
      /ANTHROPIC_API_KEY: must hold no line/,
    ],
    [
      'a proxy that is no address',
      { OPENCLAW_TRUSTED_PROXIES: 'proxy' },
      /OPENCLAW_TRUSTED_PROXIES: 'proxy' is no/,
    ],
    ["a profile of Temporal's that is missing", { TEMPORAL_PROFILE: 'nope' }, /TEMPORAL_PROFILE.*not found/],
  ];

  it.each(mistakes)('refuses %s and names it', async (_what, env, expected) => {
    const { code, stdout, stderr } = await refused({ env });
    expect(code).toBe(2);
    expect(stderr).toMatch(expected);
    expect(stderr).not.toMatch(/^\s+at |user:word/m);
    expect(stdout).toBe('');
  });

  it('names every mistake at once, and never the value of a secret', async () => {
    const env = {
      PORT: 'http',
      OPENCLAW_API_KEY: 'tiny-secret',
      OPENCLAW_SECRET_KEY: 'too-short',
      OPENCLAW_RATE_LIMIT_PER_MINUTE: '0',
    };
    const { stderr } = await refused({ env });
    for (const name of Object.keys(env)) expect(stderr).toMatch(new RegExp(`^ +${name}: must `, 'm'));
    expect(stderr).not.toMatch(/tiny-secret|too-short/);
  });
});

it('a models file that is no JSON is named without its contents', async () => {
  const file = join(newDirectory(), 'models.json');
  writeFileSync(file, 'the-word');
  const { code, stderr } = await refused({ env: { OPENCLAW_MODELS_FILE: file } });
  expect(code).toBe(2);
  expect(stderr).toContain(`OPENCLAW_MODELS_FILE: ${file} is no JSON`);
  expect(stderr).not.toContain('the-word');
});

it('a data directory that cannot be made is named', async () => {
  const dataDir = join(newDirectory(), 'file', 'below-it');
  writeFileSync(dirname(dataDir), '');
  const { code, stderr } = await refused({ dataDir });
  expect(code).toBe(1);
  expect(stderr).toContain(dataDir);
  expect(stderr).not.toMatch(/^\s+at /m);
});

it('a database that does not answer is told with what the network said, and without its password', async () => {
  const { code, stdout, stderr } = await refused({
    env: { DATABASE_URL: 'postgres://openclaw:a-secret@127.0.0.1:1/openclaw' },
  });
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toMatch(
    /^DATABASE_URL: .*127\.0\.0\.1:1\/openclaw.*\n *connect ECONNREFUSED 127\.0\.0\.1:1$/m,
  );
  expect(stderr).not.toContain('a-secret');
});

it('variables of later versions start with a warning that names them', async () => {
  const server = await startServer({ dataDir: newDirectory(), env: { OPENCLAW_BLOB_URL: 's3://x' } });
  expect(server.stderr()).toMatch(/OPENCLAW_BLOB_URL is set, but this version does not use it yet/);
  await server.stop();
});
