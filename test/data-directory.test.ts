import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDataDirectory, readOrCreateSecret, readSecret } from '../src/data-directory.ts';

let root: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'openclaw-data-'));
});

afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  rmSync(root, { recursive: true, force: true });
});

/** Another process that holds the directory until it is killed. */
async function holdElsewhere(path: string): Promise<ChildProcess> {
  const parent = join(__dirname, 'temporal', 'run-typescript.cjs');
  const script = `require(${JSON.stringify(parent)});
    const { openDataDirectory } = require(${JSON.stringify(join(__dirname, '../src/data-directory.ts'))});
    // Kept in reach: a collected handle would let go of the lock.
    globalThis.held = openDataDirectory(${JSON.stringify(path)});
    process.stdout.write('held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

const mode = (path: string) => statSync(path).mode & 0o777;

describe('the data directory', () => {
  test('is made for its owner only', () => {
    const directory = openDataDirectory(join(root, 'a', 'b'));
    expect(directory.path).toBe(join(root, 'a', 'b'));
    expect(mode(directory.path)).toBe(0o700);
    directory.release();
  });

  test('is refused to a second holder, with the directory and the fix', () => {
    const directory = openDataDirectory(root);
    expect(() => openDataDirectory(root)).toThrow(root);
    expect(() => openDataDirectory(root)).toThrow(/npm start.*OPENCLAW_DATA_DIR/);
    directory.release();
  });

  test('can be held again after its release, which may be called twice', () => {
    const first = openDataDirectory(root);
    first.release();
    first.release();
    openDataDirectory(root).release();
  });

  test('is refused while another process holds it, and free as soon as that is killed with -9', async () => {
    const holder = await holdElsewhere(root);
    expect(() => openDataDirectory(root)).toThrow(/in use by another OpenClaw process/);
    await kill(holder);
    openDataDirectory(root).release();
  });

  test('says what is wrong when it cannot be made', () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    expect(() => openDataDirectory(join(file, 'sub'))).toThrow(/ENOTDIR/);
  });
});

describe('a secret', () => {
  test('is made once, for its owner only, and read from then on', () => {
    const file = join(root, 'secret.key');
    expect(readOrCreateSecret(file, () => 'first')).toEqual({ value: 'first', created: true });
    expect(readOrCreateSecret(file, () => 'second')).toEqual({ value: 'first', created: false });
    expect(mode(file)).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toBe('first\n');
  });

  test('may have been written by hand, without a newline', () => {
    const file = join(root, 'secret.key');
    writeFileSync(file, 'by hand');
    expect(readOrCreateSecret(file, () => 'other').value).toBe('by hand');
  });

  test('is never empty', () => {
    const file = join(root, 'secret.key');
    writeFileSync(file, '\n');
    expect(() => readOrCreateSecret(file, () => 'other')).toThrow(`${file} is empty`);
  });

  test('is not made by a mere reader', () => {
    expect(() => readSecret(join(root, 'secret.key'))).toThrow(/ENOENT/);
  });
});
