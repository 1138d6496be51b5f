// Checks the room rules of .dependency-cruiser.cjs in the working directory, and proves that every module was checked.
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { cruise } from 'dependency-cruiser';
import extractTSConfig from 'dependency-cruiser/config-utl/extract-ts-config';

const ROOMS = ['src', 'workflows', 'activities'];

// With an unknown compiler, the checker finds no modules and therefore no violations. This minimum makes such a run fail.
const MODULES_MIN = 100;

const { forbidden, options } = createRequire(import.meta.url)(resolve('.dependency-cruiser.cjs'));

const written = ROOMS.flatMap((room) =>
  readdirSync(room, { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(room, name)),
);
const ruleSet = { forbidden: forbidden.map((rule) => ({ severity: 'error', ...rule })) };
const { output } = await cruise(
  ROOMS,
  { ...options, validate: true, ruleSet },
  {},
  { tsConfig: extractTSConfig(resolve(options.tsConfig.fileName)) },
);

const cruised = new Set(
  output.modules.filter(({ dependencies }) => dependencies).map(({ source }) => source),
);
const problems = output.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);
for (const file of written.filter((name) => !cruised.has(name))) problems.push(`not looked at: ${file}`);
if (written.length < MODULES_MIN)
  problems.push(`only ${written.length} modules, expected ${MODULES_MIN} or more`);

for (const problem of problems) console.error(problem);
const named = new Set(output.summary.violations.map(({ rule }) => rule.name));
for (const { name, comment } of forbidden) if (named.has(name)) console.error(`\n${name}: ${comment}`);
console.log(`${written.length} modules, ${problems.length} violations of ${forbidden.length} room rules`);
process.exitCode = problems.length === 0 ? 0 : 1;
