// Installs the pinned schemathesis into a Python environment in the cache, unless it is already there.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const REQUIREMENTS = 'test/schemathesis/requirements.txt';

const version = /^schemathesis==(\S+)$/m.exec(readFileSync(REQUIREMENTS, 'utf8'))[1];
const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
const directory = join(cacheDir, `schemathesis-${version}`);
/** Written last, with the installed requirements. An interrupted installation, or one of other requirements, is repeated. */
const mark = join(directory, 'installed.txt');
const wanted = readFileSync(REQUIREMENTS, 'utf8');

function install() {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(dirname(directory), { recursive: true });
  execFileSync('python3', ['-m', 'venv', directory], { stdio: 'inherit' });
  const pip = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--requirement',
    REQUIREMENTS,
  ];
  execFileSync(join(directory, 'bin', 'python'), pip, { stdio: 'inherit' });
  writeFileSync(mark, wanted);
}

try {
  if (!existsSync(mark) || readFileSync(mark, 'utf8') !== wanted) install();
  console.log(`schemathesis ${version}: ${directory}`);
} catch (error) {
  console.error(`schemathesis could not be installed: ${error.message}`);
  console.error(
    'It needs Python 3.10 or newer with venv and pip (apt-get install python3-venv), and a package index.',
  );
  process.exitCode = 1;
}
