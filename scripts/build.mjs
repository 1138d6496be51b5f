// Builds the product: a file for the server, one for the workflows, and one for the calculator's process. A start then skips
// the compilation and the walk through 2,500 modules, which would take a third of its time.
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
  // The second entry is for scripts without a server.
  entryPoints: { main: 'src/main.ts', 'temporal-binary': 'src/temporal/binary.ts' },
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: `node${engines.node.replace('>=', '')}`,
  // These packages load native code, and their own files by name.
  external: ['@temporalio/*', 'better-sqlite3', 'pg-native'],
  // Bundled CommonJS modules call `require` for Node's own and for external modules.
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
