// What lies in a data directory: readable by its owner alone, looked over before it is used, and never overwritten.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { createApiClient } from '../support/api-client.ts';
import { PROJECT_DIR } from '../support/built.ts';
import { freePort } from '../support/ports.ts';
import {
  cleanUp,
  environment,
  newDirectory,
  openclaw,
  run,
  spawnServer,
  startServer,
} from '../support/process.ts';

afterAll(cleanUp);

const MAIN = join(PROJECT_DIR, 'dist', 'main.js');
const OPEN_UMASK = 0o000;

/** Every file and directory below a path, with its mode. */
function modesBelow(path: string): [string, string][] {
  return readdirSync(path, { recursive: true, withFileTypes: true }).map((entry) => {
    const file = join(entry.parentPath, entry.name);
    return [file.slice(path.length + 1), (statSync(file).mode & 0o777).toString(8)];
  });
}

const isOpen = ([, mode]: [string, string]): boolean => !/00$/.test(mode);

async function withUmask<T>(umask: number, work: () => Promise<T> | T): Promise<T> {
  const before = process.umask(umask);
  try {
    return await work();
  } finally {
    process.umask(before);
  }
}

describe('with a umask that forbids nothing', () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = newDirectory();
    chmodSync(dataDir, 0o755);
    const server = await withUmask(OPEN_UMASK, () => startServer({ dataDir }));
    const session = await server.api.session();
    await server.api.send(session.id, 'Hi');
    expect(modesBelow(dataDir).filter(isOpen)).toEqual([]);
    await server.stop();
  }, 120_000);

  it('a backup is for its owner only', async () => {
    const directory = join(newDirectory(), 'backup');
    await withUmask(OPEN_UMASK, () =>
      execFileSync(process.execPath, [MAIN, 'backup', directory], {
        cwd: PROJECT_DIR,
        env: environment({ OPENCLAW_DATA_DIR: dataDir }),
      }),
    );
    expect(modesBelow(directory)).toEqual(
      expect.arrayContaining([
        ['openclaw.db', '600'],
        ['admin.key', '600'],
        ['secret.key', '600'],
      ]),
    );
    expect(modesBelow(directory).filter(isOpen)).toEqual([]);
  });

  it('files that an earlier version has made are tightened by the next start', async () => {
    for (const [file, mode] of modesBelow(dataDir))
      chmodSync(join(dataDir, file), mode === '700' ? 0o755 : 0o644);
    const server = await startServer({ dataDir });
    expect(modesBelow(dataDir).filter(isOpen)).toEqual([]);
    await server.stop();
  });
});

describe('a data directory', () => {
  let original: string;
  let dataDir: string;
  beforeAll(async () => {
    original = newDirectory();
    const server = await startServer({ dataDir: original });
    const session = await server.api.session();
    for (let n = 0; n < 5; n += 1) await server.api.send(session.id, 'x'.repeat(10_000));
    await server.stop();
  }, 120_000);
  beforeEach(() => {
    dataDir = join(newDirectory(), 'data');
    mkdirSync(dataDir, { mode: 0o700 });
    for (const name of ['openclaw.db', 'admin.key', 'secret.key'])
      copyFileSync(join(original, name), join(dataDir, name));
  });

  const fileOf = (name: string) => join(dataDir, name);
  const adminKey = () => readFileSync(join(original, 'admin.key'), 'utf8');

  async function refusal(env: Record<string, string> = {}): Promise<string> {
    const server = spawnServer({ dataDir, port: await freePort(), env });
    expect(await server.exit).toEqual({ code: 1, signal: null });
    expect(server.stdout()).toBe('');
    expect(server.stderr()).not.toMatch(/^\s+at /m);
    if (existsSync(fileOf('admin.key'))) expect(readFileSync(fileOf('admin.key'), 'utf8')).toBe(adminKey());
    return server.stderr();
  }

  const doctor = async () =>
    openclaw(['doctor'], { OPENCLAW_DATA_DIR: dataDir, PORT: String(await freePort()) });

  const faults: [string, string, () => void][] = [
    ['whose database is missing', 'openclaw.db', () => rmSync(fileOf('openclaw.db'))],
    ['whose database is empty', 'openclaw.db', () => truncateSync(fileOf('openclaw.db'))],
    [
      'whose database is no database',
      'openclaw.db',
      () => writeFileSync(fileOf('openclaw.db'), 'x'.repeat(9_000)),
    ],
    [
      'whose database was cut off',
      'openclaw.db',
      () =>
        truncateSync(fileOf('openclaw.db'), Math.floor(statSync(fileOf('openclaw.db')).size / 8_192) * 4_096),
    ],
    [
      'with damaged pages in its database',
      'openclaw.db',
      () => {
        const bytes = readFileSync(fileOf('openclaw.db'));
        bytes.fill(0xa5, 4_096 * 3, 4_096 * 20);
        writeFileSync(fileOf('openclaw.db'), bytes);
      },
    ],
    ['whose secret is missing', 'secret.key', () => rmSync(fileOf('secret.key'))],
    ['whose secret is empty', 'secret.key', () => truncateSync(fileOf('secret.key'))],
    ['whose secret was cut off', 'secret.key', () => truncateSync(fileOf('secret.key'), 20)],
    ['whose secret was changed', 'secret.key', () => writeFileSync(fileOf('secret.key'), 'y'.repeat(48))],
  ];

  it.each(faults)('%s is refused, naming %s and the way back', async (_what, name, damage) => {
    damage();
    const stderr = await refusal();
    expect(stderr).toContain(name);
    expect(stderr).toMatch(/backup/);
  });

  it.each(faults)('%s is found by doctor, naming %s and the way back', async (_what, name, damage) => {
    damage();
    const { code, stdout } = await doctor();
    expect(code).toBe(1);
    const [finding = ''] = stdout.split('\n').filter((line) => line.startsWith('FAULTY '));
    expect(finding).toContain(name);
    expect(finding).toMatch(/backup/);
  });

  it('that is as it was has no fault for doctor', async () => {
    const { code, stdout } = await doctor();
    expect(stdout).toMatch(/^ok +Database/m);
    expect(code).toBe(0);
  });

  const lostKeys: [string, RegExp, () => void][] = [
    ['is missing', /is not there/, () => rmSync(fileOf('admin.key'))],
    ['is empty', /is empty/, () => truncateSync(fileOf('admin.key'))],
    ['holds another key', /holds no key of this/, () => writeFileSync(fileOf('admin.key'), 'x'.repeat(40))],
  ];

  it.each(lostKeys)(
    'whose admin.key %s starts, and says how to make another key',
    async (_what, words, lose) => {
      lose();
      const server = spawnServer({ dataDir, port: await freePort() });
      await server.ready();
      const text = server.stdout();
      expect(text).toMatch(words);
      const [, command = ''] = /npm run openclaw -- (keys create .*)/.exec(text) ?? [];
      const { stdout } = await openclaw(command.split(' '), { OPENCLAW_DATA_DIR: dataDir });
      const { status, body } = await createApiClient(server.url, stdout.trim()).get('/v1/sessions');
      expect([status, (body.data as unknown[]).length]).toEqual([200, 1]);
      await server.stop();
    },
  );

  it('is refused with another OPENCLAW_SECRET_KEY', async () => {
    expect(await refusal({ OPENCLAW_SECRET_KEY: 'z'.repeat(48) })).toContain('OPENCLAW_SECRET_KEY');
  });

  it('whose secret is lost goes on with a new one, as docs/operations.md says', async () => {
    rmSync(fileOf('secret.key'));
    const text = readFileSync(join(PROJECT_DIR, 'docs', 'operations.md'), 'utf8');
    const section = text.slice(text.indexOf("A lost secret can't be restored"));
    const [sqlite = '', ...others] = (/```sh\n([\s\S]*?)```/.exec(section)?.[1] ?? '').trim().split('\n');
    const [, statement = ''] = /^sqlite3 "\S+" "(.*)"$/.exec(sqlite) ?? [];
    const database = new Database(fileOf('openclaw.db'));
    expect(database.prepare(statement).run().changes).toBe(1);
    database.close();
    const commands = others.join('\n').replace('npm run', 'npm run -s');
    const { code, stdout } = await run('bash', ['-euc', commands], { OPENCLAW_DATA_DIR: dataDir });
    expect(code).toBe(0);
    const server = await startServer({ dataDir });
    const { body } = await createApiClient(server.url, stdout.trim()).get('/v1/sessions');
    expect(body.data).toHaveLength(1);
    await server.stop();
  });

  it('that is as it was starts, with the key of before', async () => {
    const server = await startServer({ dataDir });
    const { status } = await createApiClient(server.url, adminKey().trim()).get('/v1/sessions');
    expect(status).toBe(200);
    await server.stop();
  });

  it('with a secret and no database yet starts: the first start may have been cut off between the two', async () => {
    rmSync(fileOf('openclaw.db'));
    rmSync(fileOf('admin.key'));
    const server = await startServer({ dataDir });
    expect((await server.api.get('/v1/sessions')).status).toBe(200);
    await server.stop();
  });
});
