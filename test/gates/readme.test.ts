// The README is what a user has before anything runs: its commands and its table of variables are held to the code.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const read = (name: string) => readFileSync(resolve(__dirname, '../..', name), 'utf8');
const readme = read('README.md');

test.each(['npm ci && npm start', 'npm ci && npm test'])('shows `%s`', (command) => {
  expect(readme).toContain(command);
});

test(".ci/run ends with the README's test command", () => {
  expect(read('.ci/run').trimEnd().split('\n').at(-1)).toBe('npm ci && npm test');
});

/** In prose, a path may begin below src/. */
const isThere = (path: string) =>
  [path, `src/${path}`].some((from) => existsSync(resolve(__dirname, '../..', from)));

test.each(['README.md', 'CONTRIBUTING.md', 'docs/architecture.md', 'docs/acceptance.md'])(
  '%s names only files that are there',
  (name) => {
    const paths = [...read(name).matchAll(/`((?:[\w.-]+\/)+[\w.-]*)`/g)].map(([, path = '']) => path);
    const sourcePaths = paths.filter((path) => !path.startsWith('.') && !/^(dist|temporal)\//.test(path));
    expect(sourcePaths.filter((path) => !isThere(path))).toEqual([]);
    expect(sourcePaths.length).toBeGreaterThan(0);
  },
);

describe('the table of variables', () => {
  const [, fields = ''] =
    /const Variables = z\.object\(\{([\s\S]*?)\n\}\);/.exec(read('src/config.ts')) ?? [];
  const names = [...fields.matchAll(/^ {2}([A-Z_]+):/gm)].map(([, name = '']) => name);
  /** The shell's own. */
  const foreign = ['HOME', 'PATH'];

  test('was found', () => expect(names).toContain('OPENCLAW_DATA_DIR'));

  test.each(names.filter((name) => !foreign.includes(name)))('has %s', (name) => {
    expect(readme).toContain(`\`${name}\``);
  });
});
