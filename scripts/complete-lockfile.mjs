// Run after `npm install`: adds the optional packages of other platforms that npm left out of package-lock.json because
// the registry at hand does not serve them. Without them `npm ci` refuses the file, on every machine.
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = 'package-lock.json';
const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64'];

const lock = JSON.parse(readFileSync(FILE, 'utf8'));

/** Platform packages name their system and processor; those keep npm from ever fetching them elsewhere. */
function entryOf(name, version, parent) {
  const words = name.split(/[-/]/);
  const os = words.filter((word) => SYSTEMS.includes(word));
  const cpu = words.filter((word) => PROCESSORS.includes(word));
  if (os.length === 0 || cpu.length === 0) throw new Error(`${name} names no platform: add it to ${FILE} by hand`);
  return { version, ...(parent.dev ? { dev: true } : {}), optional: true, os, cpu };
}

let added = 0;
for (const [path, parent] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const isThere = [`node_modules/${name}`, `${path}/node_modules/${name}`].some((each) => lock.packages[each]);
    if (isThere) continue;
    lock.packages[`node_modules/${name}`] = entryOf(name, version, parent);
    added += 1;
  }
}
const { '': root, ...rest } = lock.packages;
lock.packages = { '': root, ...Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))) };
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} optional packages added to ${FILE}`);
