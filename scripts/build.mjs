// Makes of the sources what runs: a file for the server, one for the workflows, one for the calculator's process. So a start is
// neither a compilation nor a walk through 2,500 modules, which would be a third of its time.
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { bundleWorkflowCode } from '@temporalio/worker';

const require = createRequire(import.meta.url);
if (!existsSync('node_modules/esbuild')) {
  console.error(
    'A build needs the development dependencies: `npm ci` first, then `npm prune --omit=dev` drops them.',
  );
  process.exit(1);
}
const { build } = await import('esbuild');
const { engines } = JSON.parse(readFileSync('package.json', 'utf8'));

rmSync('dist', { recursive: true, force: true });
await build({
  // The second one is for scripts that have no server.
  entryPoints: { main: 'src/main.ts', 'temporal-binary': 'src/temporal/binary.ts' },
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: `node${engines.node.replace('>=', '')}`,
  // They load native code, and files of their own by their names.
  external: ['@temporalio/*', 'better-sqlite3', 'pg-native'],
  // Bundled CommonJS modules call it for what is Node's or external.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  sourcemap: true,
  sourcesContent: false,
  keepNames: true,
  logLevel: 'warning',
});
copyFileSync('src/tools/calculator/evaluate.mjs', 'dist/evaluate.mjs');

const quiet = { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error };
const { code } = await bundleWorkflowCode({
  workflowsPath: require.resolve('../workflows/index.ts'),
  logger: quiet,
});
writeFileSync('dist/workflow-bundle.js', code);
