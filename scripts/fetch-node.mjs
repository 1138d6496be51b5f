// Fetches newer versions of Node from npm into the cache, for the suite that runs the built product on them.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const NEWER_NODES = ['24.21.0', '26.10.0'];

const FETCH_TIMEOUT_MS = 120_000;
const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');

const pathOf = (version) => join(cacheDir, `node-${version}`);

/** Fetches the platform package that the install script of npm's package `node` would fetch. */
function fetch(version) {
  const { platform, arch } = process;
  const prefix = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node';
  const name = `${prefix}-${platform}-${arch}`;
  mkdirSync(cacheDir, { recursive: true });
  const directory = mkdtempSync(join(cacheDir, 'node-fetch-'));
  try {
    const args = [
      'install',
      '--prefix',
      directory,
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
    ];
    execFileSync('npm', [...args, `${name}@${version}`], { stdio: 'inherit', timeout: FETCH_TIMEOUT_MS });
    const executable = join(directory, 'node_modules', name, 'bin', 'node');
    const found = execFileSync(executable, ['--version'], { encoding: 'utf8' }).trim();
    if (found !== `v${version}`) throw new Error(`${name}@${version} is Node ${found}`);
    renameSync(executable, pathOf(version));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

try {
  for (const version of NEWER_NODES) {
    if (!existsSync(pathOf(version))) fetch(version);
    console.log(pathOf(version));
  }
} catch (error) {
  console.error(`Newer versions of Node could not be fetched from npm: ${error.message}`);
  process.exitCode = 1;
}
