// The room checker itself: clean on the real tree, and each rule bites on a violation planted in a copy of it.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const PROJECT = resolve(__dirname, '../..');
const CHECKER = join(PROJECT, 'scripts', 'check-rooms.mjs');

// A run takes about 4 s on two busy cores.
jest.setTimeout(60_000);

let copy: string;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'openclaw-rooms-'));
  for (const name of [
    'src',
    'workflows',
    'activities',
    'package.json',
    'tsconfig.json',
    '.dependency-cruiser.cjs',
  ])
    cpSync(join(PROJECT, name), join(copy, name), { recursive: true });
  symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'));
});

afterAll(() => rmSync(copy, { recursive: true, force: true }));

function check(directory: string) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CHECKER], {
    cwd: directory,
    encoding: 'utf8',
  });
  return { status, stdout, violations: stderr.split('\n').filter((line) => line.includes(' -> ')) };
}

function plant(file: string, ...lines: string[]): void {
  mkdirSync(join(copy, dirname(file)), { recursive: true });
  writeFileSync(join(copy, file), `${lines.join('\n')}\n`);
}

/** Each rule with a file that breaks it, and what that file imports. */
const PLANTED: [rule: string, file: string, line: string][] = [
  ['contracts-are-a-leaf', 'src/contracts/planted.ts', "import { newId } from '../ids.ts';"],
  [
    'contracts-are-a-leaf',
    'src/contracts/planted-types.ts',
    "import type { SessionRow } from '../stores/schema.ts';",
  ],
  [
    'numbers-are-unwrapped-at-one-place',
    'src/views/planted-number.ts',
    "import { LosslessNumber } from 'lossless-json';",
  ],
  ['workflows-run-no-io', 'workflows/planted-fs.ts', "import { readFileSync } from 'node:fs';"],
  [
    'workflows-run-no-io',
    'workflows/planted-zod.ts',
    "import { Message } from '../src/contracts/messages.ts';",
  ],
  [
    'workflows-know-activities-and-contracts',
    'workflows/planted.ts',
    "import type { SessionRow } from '../src/stores/schema.ts';",
  ],
  [
    'http-calls-services',
    'src/http/planted-store.ts',
    "import type { SessionRow } from '../stores/schema.ts';",
  ],
  [
    'http-calls-services',
    'src/http/planted-service.ts',
    "import type { Engine } from '../services/engine.ts';",
  ],
  [
    'http-calls-services',
    'src/http/planted-protocol.ts',
    "import type { SessionSnapshot } from '../../workflows/protocol.ts';",
  ],
  [
    'http-is-handed-its-services',
    'src/http/planted-value.ts',
    "import { createCatalogue } from '../models/catalogue.ts';",
  ],
  ['services-know-no-http', 'src/services/planted-express.ts', "import type { Request } from 'express';"],
  ['services-know-no-http', 'src/services/planted-http.ts', "import { createApp } from '../http/app.ts';"],
  [
    'services-reach-temporal-through-the-engine',
    'src/services/planted-temporal.ts',
    "import type { SessionWorker } from '../temporal/worker.ts';",
  ],
  [
    'stores-know-no-services',
    'src/stores/planted.ts',
    "import type { Services } from '../services/ports.ts';",
  ],
  [
    'turns-only-stores-views-models',
    'src/turns/planted.ts',
    "import type { Services } from '../services/ports.ts';",
  ],
  ['views-only-translate', 'src/views/planted.ts', "import type { Turns } from '../turns/index.ts';"],
  [
    'models-and-tools-stand-alone',
    'src/tools/planted.ts',
    "import type { SessionRow } from '../stores/schema.ts';",
  ],
  ['egress-stands-alone', 'src/egress/planted.ts', "import type { WebhookRow } from '../stores/schema.ts';"],
  ['webhooks-send-rows', 'src/webhooks/planted.ts', "import type { Engine } from '../services/engine.ts';"],
  ['only-egress-calls-out-for-others', 'src/webhooks/planted-call.ts', "import { request } from 'undici';"],
  [
    'one-temporal-client-room',
    'src/services/planted-client.ts',
    "import { Client } from '@temporalio/client';",
  ],
  [
    'temporal-is-configured-in-config',
    'src/temporal/planted-config.ts',
    "import { loadClientConnectConfig } from '@temporalio/envconfig';",
  ],
  [
    'activities-alone-know-their-context',
    'src/turns/planted-context.ts',
    "import { Context } from '@temporalio/activity';",
  ],
  [
    'adapters-are-picked-in-wiring-and-commands',
    'src/services/planted-picker.ts',
    "import { openStore } from '../stores/open.ts';",
  ],
  [
    'adapters-are-picked-in-wiring-and-commands',
    'src/services/planted-adapter.ts',
    "import { openSqlite } from '../stores/sqlite.ts';",
  ],
  [
    'drivers-stay-in-their-adapters',
    'src/services/planted-driver.ts',
    "import SQLite from 'better-sqlite3';",
  ],
  [
    'nobody-imports-the-composition-root',
    'src/services/planted-root.ts',
    "import type { System } from '../wiring.ts';",
  ],
  ['no-cycles', 'src/tools/planted-a.ts', "import { b } from './planted-b.ts';"],
  [
    'not-to-test',
    'src/tools/planted-test.ts',
    "import { readRunFile } from '../../test/support/run-file.ts';",
  ],
  ['not-to-dev-dependencies', 'src/tools/planted-dev.ts', "import fc from 'fast-check';"],
  ['every-import-resolves', 'src/tools/planted-nowhere.ts', "import { nothing } from './nowhere.ts';"],
];

test('the real tree keeps every rule, and all of it was looked at', () => {
  const { status, stdout, violations } = check(PROJECT);
  expect(violations).toEqual([]);
  expect(status).toBe(0);
  const [, modules = 0, problems] = /^(\d+) modules, (\d+) violations/.exec(stdout) ?? [];
  expect(Number(modules)).toBeGreaterThan(100);
  expect(problems).toBe('0');
});

describe('a planted violation', () => {
  let found: ReturnType<typeof check>;

  beforeAll(() => {
    for (const [, file, line] of PLANTED) plant(file, line);
    plant('src/tools/planted-b.ts', "import { a } from './planted-a.ts';");
    plant('test/support/run-file.ts', 'export const readRunFile = 1;');
    found = check(copy);
  });

  test('fails the check', () => expect(found.status).toBe(1));

  test.each(PLANTED)('%s: %s', (rule, file) => {
    expect(found.violations.filter((line) => line.startsWith(`${rule}: ${file} -> `))).not.toEqual([]);
  });

  test('stands for every rule there is', () => {
    const { forbidden } = require('../../.dependency-cruiser.cjs') as { forbidden: { name: string }[] };
    expect(new Set(PLANTED.map(([rule]) => rule))).toEqual(new Set(forbidden.map(({ name }) => name)));
  });
});

test('types of contracts and activities are no violation in a workflow, nor of services in a route', () => {
  plant(
    'workflows/allowed.ts',
    "import type { Message } from '../src/contracts/messages.ts';",
    "import type { Activities } from '../activities/index.ts';",
  );
  plant('src/http/allowed.ts', "import type { Services } from '../services/ports.ts';");
  expect(check(copy).violations.filter((line) => line.includes('/allowed.ts -> '))).toEqual([]);
});

test('a tree in which almost nothing was found is not a clean tree', () => {
  const almostEmpty = join(copy, 'almost-empty');
  for (const room of ['src', 'workflows', 'activities']) {
    mkdirSync(join(almostEmpty, room), { recursive: true });
    writeFileSync(join(almostEmpty, room, 'one.ts'), 'export const one = 1;\n');
  }
  for (const name of ['package.json', 'tsconfig.json', '.dependency-cruiser.cjs'])
    cpSync(join(PROJECT, name), join(almostEmpty, name));
  const { status, stdout } = check(almostEmpty);
  expect(stdout).toMatch(/^3 modules, 1 violations/);
  expect(status).toBe(1);
});
