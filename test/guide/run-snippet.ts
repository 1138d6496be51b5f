// Runs a snippet as its reader would: as a Node program, unchanged but for the host's name, after a stated preamble.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment } from '../support/process.ts';

export interface Program {
  /** Of the server, in place of the guide's host. */
  url: string;
  /** What the snippet takes as given: `apiKey`, `sessionId`, ... */
  preamble: string;
  code: string;
  /** Names of the snippet's own variables whose values the test wants to see. */
  report?: string[];
  timeoutMs?: number;
}

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Values by name. */
  reported: Record<string, any>;
}

export const GUIDE_HOST = 'https://api.openclaw.com';
const GUIDE_SOCKET_HOST = GUIDE_HOST.replace('http', 'ws');
const TIMEOUT_MS = 60_000;

export async function runSnippet({ url, preamble, code, report = [], timeoutMs }: Program): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), 'openclaw-guide-'));
  const file = join(directory, 'snippet.mjs');
  // Over a channel of its own, so that standard output is the snippet's.
  const handBack = report.length > 0 ? `process.send({ ${report.join(', ')} });` : '';
  const local = code.replaceAll(GUIDE_HOST, url).replaceAll(GUIDE_SOCKET_HOST, url.replace('http', 'ws'));
  writeFileSync(file, [preamble, local, handBack].join('\n'));
  try {
    return await runFile(file, timeoutMs ?? TIMEOUT_MS);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function runFile(file: string, timeoutMs: number): Promise<Outcome> {
  const child = spawn(process.execPath, [file], {
    env: environment({}),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    timeout: timeoutMs,
  });
  const outcome: Outcome = { code: null, stdout: '', stderr: '', reported: {} };
  child.stdout?.setEncoding('utf8').on('data', (chunk) => (outcome.stdout += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk) => (outcome.stderr += chunk));
  child.on('message', (values) => Object.assign(outcome.reported, values));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...outcome, code }));
  });
}
