// The check of commit subjects: it finds planted ones, and says so when a checkout has no history to check.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const CHECKER = resolve(__dirname, '../../scripts/check-commits.mjs');
/** No setting of this machine or of a hook around the test. */
const ENVIRONMENT = {
  PATH: process.env.PATH,
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CEILING_DIRECTORIES: tmpdir(),
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'openclaw-commits-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function run(command: string, args: string[], cwd = directory): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env: ENVIRONMENT, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

const commit = (...subjects: string[]): void =>
  subjects.forEach((subject) => {
    const author = ['-c', 'user.name=x', '-c', 'user.email=x@example.com'];
    run('git', [...author, 'commit', '-q', '--allow-empty', '--no-gpg-sign', '-m', subject]);
  });

/** A repository with an old commit that breaks the rule. @returns its hash, the baseline. */
function startHistory(): string {
  run('git', ['init', '-q']);
  commit('What was said before the rule');
  return run('git', ['rev-parse', 'HEAD']);
}

const check = (args: string[], cwd = directory) =>
  spawnSync(process.execPath, [CHECKER, ...args], { cwd, env: ENVIRONMENT, encoding: 'utf8' });

test.each([
  'webhooks: retry 408',
  'tools, turns: bound the calls of a step',
  'Process results in order',
  'http/streams: pass the cursor on',
  'Feed the parser in pieces',
  'Revert "Added a thing"',
  `docs: ${'a'.repeat(60)} bcdef`,
])('takes %j', (subject) => {
  const baseline = startHistory();
  commit(subject);
  const { status, stdout } = check([baseline]);
  expect({ status, stdout }).toEqual({ status: 0, stdout: '1 commits, 0 subjects to reword\n' });
});

test.each([
  ['Added a retry', 'begins with "added"'],
  ['webhooks: retrying 408', 'begins with "retrying"'],
  ['sessions: keeps the title', 'begins with "keeps"'],
  ['Webhooks outlast a lost signal', 'begins with "webhooks"'],
  ['After review: bound pages', 'begins with "after"'],
  ['http: told clients more', 'begins with "told"'],
  ['fixup! http: bound pages', 'must be `scope: verb ...`'],
  ['wip', 'must be `scope: verb ...`'],
  [`docs: ${'a'.repeat(60)} bcdefg`, 'has 73 characters'],
])('refuses %j, also behind a good one', (subject, reason) => {
  const baseline = startHistory();
  commit(subject, 'docs: name the port');
  const { status, stdout, stderr } = check([baseline]);
  expect(status).toBe(1);
  expect(stderr).toContain(subject);
  expect(stderr).toContain(reason);
  expect(stdout).toBe('2 commits, 1 subjects to reword\n');
});

describe('says that nothing is checked', () => {
  test('in a shallow clone', () => {
    const baseline = startHistory();
    commit('Added a retry', 'Added another');
    const clone = join(directory, 'clone');
    run('git', ['clone', '-q', '--depth=1', `file://${directory}`, clone]);
    const { status, stdout } = check([baseline], clone);
    expect(status).toBe(0);
    expect(stdout).toContain(`not checked: this checkout has no history since ${baseline}`);
  });

  test('in an archive', () => {
    const archive = join(directory, 'archive');
    mkdirSync(archive);
    const { status, stdout } = check([], archive);
    expect(status).toBe(0);
    expect(stdout).toContain('not checked: this checkout has no history');
  });
});
