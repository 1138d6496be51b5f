// Adds native packages of other platforms to package-lock.json, so that `npm ci` works everywhere. npm writes an optional package
// only if the registry serves it, and a mirror may serve only its own platform. `npm ci` then refuses the file: "Missing: ...
// from lock file". `--check` changes nothing and fails if a package is missing.
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = 'package-lock.json';
const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const PROCESSORS = ['arm64', 'arm', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64'];
const EXACT_VERSION = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

/** The platform fields of the package's own package.json. Without them, npm would install every platform's package. */
function platformOf(name) {
  const words = name.split('/').at(-1).split('-');
  const os = SYSTEMS.find((system) => words.includes(system));
  const cpu = PROCESSORS.find((processor) => words.includes(processor));
  if (!os || !cpu) throw new Error(`${name}: cannot tell for which platform it is`);
  const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : 'glibc';
  return { cpu: [cpu], ...(os === 'linux' ? { libc: [libc] } : {}), os: [os] };
}

function missingFrom(packages) {
  const missing = {};
  for (const parent of Object.values(packages))
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      const path = `node_modules/${name}`;
      if (packages[path] || !EXACT_VERSION.test(version)) continue;
      const { dev } = parent;
      missing[path] = { version, ...(dev ? { dev } : {}), optional: true, ...platformOf(name) };
    }
  return missing;
}

const lock = JSON.parse(readFileSync(FILE, 'utf8'));
const missing = missingFrom(lock.packages);
const count = Object.keys(missing).length;
if (process.argv.includes('--check')) {
  if (count > 0)
    console.error(`${FILE} lacks ${count} packages of other platforms: run \`npm run complete-lockfile\``);
  process.exitCode = count > 0 ? 1 : 0;
} else {
  const [root, ...others] = Object.entries({ ...lock.packages, ...missing });
  others.sort(([one], [other]) => one.localeCompare(other, 'en'));
  lock.packages = Object.fromEntries([root, ...others]);
  writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`${count} packages of other platforms added to ${FILE}`);
}
