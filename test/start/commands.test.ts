// The operator's commands, against a server that runs meanwhile.

import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type Simulator, startSimulator } from '../../src/models/simulator.ts';
import { createApiClient } from '../support/api-client.ts';
import { PROJECT_DIR } from '../support/built.ts';
import { freePort } from '../support/ports.ts';
import { cleanUp, newDirectory, openclaw, type ServerProcess, startServer } from '../support/process.ts';

let server: ServerProcess;
let simulator: Simulator;
beforeAll(async () => {
  simulator = await startSimulator({ echoOnly: true });
  server = await startServer({ env: { ANTHROPIC_BASE_URL: simulator.url } });
});
afterAll(async () => {
  await cleanUp();
  await simulator.close();
});

describe('keys create', () => {
  const create = (account: string, level: string) =>
    openclaw(['keys', 'create', '--account', account, '--level', level], {
      OPENCLAW_DATA_DIR: server.dataDir,
    });
  const clientOf = async (account: string, level: string) =>
    createApiClient(server.url, (await create(account, level)).stdout.trim());

  it('prints a key and nothing else', async () => {
    const { code, stdout, stderr } = await create('acme', 'standard');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^oclaw_live_[A-Za-z0-9]{36}\n$/);
  });

  it('makes a key that works at once in the running server, with its level', async () => {
    const reader = await clientOf('acme', 'read-only');
    expect((await reader.get('/v1/sessions')).status).toBe(200);
    expect((await reader.post('/v1/sessions', { model: 'claude-haiku' })).status).toBe(403);
    const writer = await clientOf('acme', 'standard');
    expect(await writer.session()).toMatchObject({ status: 'active' });
    expect((await writer.get('/v1/api-keys')).status).toBe(403);
    expect((await (await clientOf('acme', 'admin')).get('/v1/api-keys')).status).toBe(200);
  });

  it('puts a known name in the same account, and a new name in an account that sees nothing of the others', async () => {
    const session = await server.api.session();
    const stranger = await clientOf('stranger', 'admin');
    const colleague = await clientOf('stranger', 'standard');
    expect((await stranger.get('/v1/sessions')).body.data).toEqual([]);
    expect((await stranger.get('/v1/api-keys')).body.data).toHaveLength(2);
    expect((await stranger.get(`/v1/sessions/${session.id}`)).status).toBe(404);
    expect((await stranger.post(`/v1/sessions/${session.id}/messages`, { content: 'Hi' })).status).toBe(404);
    const own = await stranger.session();
    expect((await colleague.get(`/v1/sessions/${own.id}`)).status).toBe(200);
    expect((await server.api.get(`/v1/sessions/${own.id}`)).status).toBe(404);
  });

  it('refuses a level that does not exist, naming those that do', async () => {
    const { code, stdout, stderr } = await create('acme', 'root');
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/read-only, standard, admin, not 'root'/);
  });

  it('refuses a data directory without data', async () => {
    const dataDir = newDirectory();
    const args = ['keys', 'create', '--account', 'acme', '--level', 'admin'];
    const { code, stderr } = await openclaw(args, { OPENCLAW_DATA_DIR: dataDir });
    expect(code).toBe(1);
    expect(stderr).toContain(dataDir);
  });
});

describe('backup', () => {
  const backup = (directory: string, env: Record<string, string> = {}) =>
    openclaw(['backup', directory], { OPENCLAW_DATA_DIR: server.dataDir, ...env });

  it('copies the data and their keys into a new directory that is its owner’s alone', async () => {
    const directory = join(newDirectory(), 'backup');
    const { code, stdout, stderr } = await backup(directory);
    expect([code, stdout, stderr]).toEqual([0, `${directory}\n`, '']);
    expect(readdirSync(directory).sort()).toEqual(['admin.key', 'openclaw.db', 'secret.key']);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const from = (name: string) => readFileSync(join(server.dataDir, name), 'utf8');
    expect(readFileSync(join(directory, 'secret.key'), 'utf8')).toBe(from('secret.key'));
  });

  it('also copies those of a server that was stopped', async () => {
    const dataDir = join(newDirectory(), 'stopped');
    const first = join(newDirectory(), 'backup');
    await backup(first);
    cpSync(first, dataDir, { recursive: true });
    const second = join(newDirectory(), 'backup');
    expect((await backup(second, { OPENCLAW_DATA_DIR: dataDir })).code).toBe(0);
    expect(readdirSync(second)).toContain('openclaw.db');
  });

  it.each([
    ['a directory that is there already', () => newDirectory(), {}, /is there already/],
    ['nothing', () => join(newDirectory(), 'backup'), { OPENCLAW_DATA_DIR: '/nowhere' }, /holds no data yet/],
    [
      'PostgreSQL',
      () => join(newDirectory(), 'backup'),
      { DATABASE_URL: 'postgres://user:secret@127.0.0.1:1/data' },
      /pg_dump/,
    ],
  ])('refuses %s, and writes nothing', async (_what, newTarget, env, words) => {
    const target = newTarget();
    const { code, stdout, stderr } = await backup(target, env);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(words);
    expect(stderr).not.toContain('secret@');
    expect(existsSync(target) ? readdirSync(target) : []).toEqual([]);
  });
});

describe('doctor', () => {
  it('says what is there, line by line, and exits with 0 when nothing is missing', async () => {
    const env = { OPENCLAW_DATA_DIR: newDirectory(), PORT: String(await freePort()) };
    const { code, stdout, stderr } = await openclaw(['doctor'], env);
    expect(stderr).toBe('');
    for (const what of ['Node', 'Build', 'Data directory', 'Port', 'Temporal', 'Model'])
      expect(stdout).toMatch(new RegExp(`^ok +${what} `, 'm'));
    expect(code).toBe(0);
  });

  it('names what is missing and exits with 1', async () => {
    const foreign = createServer().listen(await freePort(), '127.0.0.1');
    await once(foreign, 'listening');
    const { port } = foreign.address() as AddressInfo;
    const file = join(newDirectory(), 'file');
    writeFileSync(file, '');
    const env = {
      OPENCLAW_DATA_DIR: file,
      PORT: String(port),
      DATABASE_URL: 'postgres://a:secret@127.0.0.1:1/b',
    };
    const { code, stdout } = await openclaw(['doctor'], env);
    foreign.close();
    expect(code).toBe(1);
    expect(stdout).toMatch(new RegExp(`^MISSING +Port .*${port}`, 'm'));
    expect(stdout).toMatch(/^MISSING +Data directory .*file is a file: set OPENCLAW_DATA_DIR/m);
    expect(stdout).toMatch(/^MISSING +Database .*DATABASE_URL/m);
    expect(stdout).not.toContain('secret@');
  });

  it.each(['127.0.0.1', 'localhost'])('knows a server that already runs on %s', async (host) => {
    const env = { OPENCLAW_DATA_DIR: server.dataDir, HOST: host, PORT: String(server.port) };
    const { code, stdout } = await openclaw(['doctor'], env);
    expect(stdout).toMatch(new RegExp(`^ok +Port +OpenClaw already runs on ${host}:${server.port}$`, 'm'));
    expect(code).toBe(0);
  });

  it('makes nothing', async () => {
    const dataDir = join(newDirectory(), 'not', 'yet');
    await openclaw(['doctor'], { OPENCLAW_DATA_DIR: dataDir, PORT: String(await freePort()) });
    const { stderr } = await openclaw(['keys', 'create', '--account', 'a', '--level', 'admin'], {
      OPENCLAW_DATA_DIR: dataDir,
    });
    expect(stderr).toMatch(/holds no data yet/);
  });
});

describe('a command line with a mistake', () => {
  const mistakes: [string[], RegExp][] = [
    [['foo'], /unknown command 'foo'[\s\S]*Commands: dev, api, worker, migrate, doctor, backup, keys/],
    [['dotcor'], /unknown command 'dotcor'\n\(Did you mean doctor\?\)/],
    [['--verbose'], /unknown option '--verbose'/],
    [['dev', 'foo'], /too many arguments for 'dev'/],
    [['keys', 'list'], /unknown command 'list'/],
    [['keys', 'create', '--level', 'admin'], /required option '--account <name>' not specified/],
    [['backup'], /missing required argument 'directory'/],
  ];

  it.each(mistakes)('%j is told what is wrong, and exits with 2', async (args, words) => {
    const { code, stdout, stderr } = await openclaw(args, { OPENCLAW_DATA_DIR: newDirectory() });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(words);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  it.each([['--help'], ['help'], ['keys', '--help'], ['help', 'backup']].map((args) => [args]))(
    '%j is no mistake',
    async (args) => {
      const { code, stdout, stderr } = await openclaw(args, {});
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toContain('Usage: openclaw');
    },
  );
});

it('--version prints the version', async () => {
  const { version } = JSON.parse(readFileSync(join(PROJECT_DIR, 'package.json'), 'utf8'));
  expect(await openclaw(['--version'], {})).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
});

describe('ANTHROPIC_BASE_URL', () => {
  it('is where the model is called, and the start says so', async () => {
    expect(server.stdout()).toContain(simulator.url);
    const session = await server.api.session();
    const message = await server.api.send(session.id, 'Asked of the server of the test');
    expect(message.content).toContain('Asked of the server of the test');
    expect(simulator.calls.map(({ text }) => text)).toContain('Asked of the server of the test');
  });
});
